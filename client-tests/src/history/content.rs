//! Records that say themselves where they belong and which one they are, so that any other is recognised.
//!
//! ```text
//! TOPIC PARTITION PRODUCER SEQUENCE FILLER CHECKSUM
//! ```
//!
//! The checksum is the CRC-32 (as in zip) of all that is before the last space, as eight hexadecimal digits. The filler's
//! length follows from the sequence, so that records differ in size. The programs in other languages do the same.

use std::fmt;
use std::sync::Arc;

use crc_fast::CrcAlgorithm;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The topic's name, which holds no space.
    pub topic: Arc<str>,
    /// The partition's index.
    pub partition: i32,
}

impl Place {
    /// The partition of the topic.
    #[must_use]
    pub fn new(topic: &Arc<str>, partition: i32) -> Place {
        Place { topic: Arc::clone(topic), partition }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// Which record of its partition it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The number of the producer that sent it.
    pub producer: u32,
    /// Its number among that producer's records to this partition, from 0 without gaps.
    pub sequence: i64,
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of producer {}", self.sequence, self.producer)
    }
}

/// The value of a record.
#[must_use]
pub fn encode(place: &Place, record: Identity) -> Vec<u8> {
    let Identity { producer, sequence } = record;
    let filler = usize::try_from(20 + sequence % 64).unwrap_or_default();
    let body = format!("{} {} {producer} {sequence} {:.<filler$}", place.topic, place.partition, "");
    format!("{body} {:08x}", checksum(body.as_bytes())).into_bytes()
}

/// Which record a value is that was read in `place`.
///
/// # Errors
/// Why it is none that belongs there.
pub fn decode(place: &Place, value: &[u8]) -> Result<Identity, String> {
    let text = std::str::from_utf8(value).map_err(|_| "it is not text".to_owned())?;
    let (body, sum) = text.rsplit_once(' ').ok_or_else(|| format!("it is {text:?}"))?;
    if sum != format!("{:08x}", checksum(body.as_bytes())) {
        return Err(format!("its checksum is wrong: {text:?}"));
    }
    let mut words = body.split(' ');
    if words.next() != Some(&*place.topic) || words.next() != Some(&*place.partition.to_string()) {
        return Err(format!("it belongs elsewhere: {text:?}"));
    }
    let producer = words.next().and_then(|word| word.parse().ok());
    let sequence = words.next().and_then(|word| word.parse().ok());
    match (producer, sequence) {
        (Some(producer), Some(sequence)) => Ok(Identity { producer, sequence }),
        _ => Err(format!("it has no numbers: {text:?}")),
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, bytes)
}

#[cfg(test)]
mod tests {
    use super::{Identity, Place, decode, encode};

    fn place(partition: i32) -> Place {
        Place::new(&"orders".into(), partition)
    }

    #[test]
    fn record_says_which_one_it_is() {
        for sequence in [0, 1, 63, 1_000_000_000_000] {
            let record = Identity { producer: 3, sequence };
            assert_eq!(decode(&place(2), &encode(&place(2), record)), Ok(record));
        }
    }

    #[test]
    fn value_is_what_the_other_languages_write() {
        let value = encode(&place(2), Identity { producer: 3, sequence: 1 });
        assert_eq!(String::from_utf8(value).unwrap(), "orders 2 3 1 ..................... 3d5dcdc8");
    }

    #[test]
    fn record_in_another_partition_or_damaged_is_recognised() {
        let value = encode(&place(2), Identity { producer: 3, sequence: 7 });
        assert!(decode(&place(1), &value).unwrap_err().contains("elsewhere"));
        for position in 0..value.len() {
            let mut damaged = value.clone();
            damaged[position] ^= 1;
            assert!(decode(&place(2), &damaged).is_err(), "a damaged byte at {position} passes");
        }
    }
}
