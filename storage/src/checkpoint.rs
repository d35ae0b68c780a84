//! Kafka's checkpoint files: small texts that map partitions to offsets, or leader epochs to offsets.
//!
//! ```text
//! 0                      version
//! 2                      number of lines that follow
//! payments 0 1204        topic partition offset   (or: epoch offset)
//! payments 1 88
//! ```
//!
//! Every line ends with a newline. Source: `CheckpointFile.java`, `OffsetCheckpointFile.java`.
//!
//! Invariants: decoding takes exactly what encoding writes (Kafka's own files included) and refuses the rest,
//! so that a damaged checkpoint is noticed instead of believed.
//!
//! Absent: files; a writer renames a flushed temporary file over the old one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::str::SplitWhitespace;

use thiserror::Error;

use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TopicPartition};
use crate::leader_epochs::EpochStart;

const VERSION: &str = "0";

/// Why a text is no checkpoint. Lines and entries count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The first line is not the version that we know.
    #[error("the version is {found:?}, not {VERSION:?}")]
    UnsupportedVersion {
        /// The first line; empty where there is none.
        found: String,
    },
    /// The second line is no number of entries.
    #[error("{found:?} is no number of entries")]
    BadCount {
        /// The second line; empty where there is none.
        found: String,
    },
    /// A line is no entry.
    #[error("line {line} is no entry")]
    BadEntry {
        /// The number of the line.
        line: usize,
    },
    /// The file was cut off or appended to.
    #[error("{declared} entries are declared and {found} are there")]
    CountMismatch {
        /// The second line.
        declared: usize,
        /// Lines that follow it.
        found: usize,
    },
    /// The same partition twice.
    #[error("line {line} names a partition a second time")]
    Duplicate {
        /// The number of the line.
        line: usize,
    },
    /// Epochs or their offsets do not grow.
    #[error("entry {entry} is not greater than the one before it")]
    Disorder {
        /// The number of the entry.
        entry: usize,
    },
}

/// The text of a checkpoint of offsets by partition.
#[must_use]
pub fn encode_offsets(offsets: &BTreeMap<TopicPartition, Offset>) -> String {
    encode(offsets.len(), |text| {
        offsets.iter().try_for_each(|(TopicPartition { topic, partition }, offset)| {
            writeln!(text, "{topic} {partition} {offset}")
        })
    })
}

/// The offsets by partition in a checkpoint's text.
///
/// # Errors
/// [`CheckpointError`] where the text is not exactly what [`encode_offsets`] or Kafka writes.
pub fn decode_offsets(text: &str) -> Result<BTreeMap<TopicPartition, Offset>, CheckpointError> {
    let mut offsets = BTreeMap::new();
    for (line, entry) in entries(text)? {
        let (partition, offset) = decode_offset(entry).ok_or(CheckpointError::BadEntry { line })?;
        if offsets.insert(partition, offset).is_some() {
            return Err(CheckpointError::Duplicate { line });
        }
    }
    Ok(offsets)
}

fn decode_offset(entry: &str) -> Option<(TopicPartition, Offset)> {
    let mut fields = entry.split_whitespace();
    let topic = fields.next()?;
    let partition = PartitionIndex(not_negative(&mut fields)?);
    let offset = Offset(not_negative(&mut fields)?);
    let partition = TopicPartition { topic: topic.to_owned(), partition };
    fields.next().is_none().then_some((partition, offset))
}

/// The text of a checkpoint of leader epochs.
#[must_use]
pub fn encode_epochs(epochs: &[EpochStart]) -> String {
    encode(epochs.len(), |text| {
        epochs.iter().try_for_each(|entry| writeln!(text, "{} {}", entry.epoch, entry.start_offset))
    })
}

/// The leader epochs in a checkpoint's text, in its order.
///
/// # Errors
/// [`CheckpointError`] where the text is not exactly what [`encode_epochs`] or Kafka writes.
pub fn decode_epochs(text: &str) -> Result<Vec<EpochStart>, CheckpointError> {
    let entries = entries(text)?;
    entries.map(|(line, entry)| decode_epoch(entry).ok_or(CheckpointError::BadEntry { line })).collect()
}

fn decode_epoch(entry: &str) -> Option<EpochStart> {
    let mut fields = entry.split_whitespace();
    let epoch = LeaderEpoch(not_negative(&mut fields)?);
    let start_offset = Offset(not_negative(&mut fields)?);
    fields.next().is_none().then_some(EpochStart { epoch, start_offset })
}

fn encode(count: usize, lines: impl FnOnce(&mut String) -> std::fmt::Result) -> String {
    let mut text = format!("{VERSION}\n{count}\n");
    lines(&mut text).expect("writing to a string cannot fail");
    text
}

/// The lines after the head with their numbers, once their count is known to be right.
fn entries(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, CheckpointError> {
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    if version != VERSION {
        return Err(CheckpointError::UnsupportedVersion { found: version.to_owned() });
    }
    let count = lines.next().unwrap_or_default();
    let declared = count.parse().map_err(|_| CheckpointError::BadCount { found: count.to_owned() })?;
    let found = lines.clone().count();
    if found != declared {
        return Err(CheckpointError::CountMismatch { declared, found });
    }
    Ok((3..).zip(lines))
}

fn not_negative<T: std::str::FromStr + PartialOrd + Default>(fields: &mut SplitWhitespace<'_>) -> Option<T> {
    fields.next()?.parse().ok().filter(|number| *number >= T::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets() -> BTreeMap<TopicPartition, Offset> {
        BTreeMap::from([
            (TopicPartition::new("payments", 0), Offset(1204)),
            (TopicPartition::new("payments", 11), Offset(0)),
            (TopicPartition::new("__consumer_offsets", 49), Offset(i64::MAX)),
        ])
    }

    #[test]
    fn offsets_survive_their_text() {
        let text = "0\n3\n__consumer_offsets 49 9223372036854775807\npayments 0 1204\npayments 11 0\n";
        assert_eq!(encode_offsets(&offsets()), text);
        assert_eq!(decode_offsets(text), Ok(offsets()));
        assert_eq!(decode_offsets("0\n0\n"), Ok(BTreeMap::new()));
    }

    #[test]
    fn every_cut_of_a_checkpoint_is_noticed_or_changes_nothing_but_digits_of_its_last_line() {
        // A cut within the last number leaves a shorter number, which no format without a checksum can tell:
        // the writer's rename is what rules it out.
        let text = encode_offsets(&offsets());
        let last_number = text.len() - "0\n".len();
        for cut in 0..last_number {
            assert!(decode_offsets(&text[..cut]).is_err(), "{:?}", &text[..cut]);
        }
    }

    #[test]
    fn damage_is_named() {
        let error = |text: &str| decode_offsets(text).unwrap_err();
        assert_eq!(error(""), CheckpointError::UnsupportedVersion { found: String::new() });
        assert_eq!(error("1\n0\n"), CheckpointError::UnsupportedVersion { found: "1".into() });
        assert_eq!(error("0\n"), CheckpointError::BadCount { found: String::new() });
        assert_eq!(error("0\n-1\n"), CheckpointError::BadCount { found: "-1".into() });
        assert_eq!(error("0\n2\na 0 0\n"), CheckpointError::CountMismatch { declared: 2, found: 1 });
        assert_eq!(
            error("0\n99999999999999999999\n"),
            CheckpointError::BadCount { found: "99999999999999999999".into() }
        );
        assert_eq!(error("0\n0\na 0 0\n"), CheckpointError::CountMismatch { declared: 0, found: 1 });
        for entry in ["a 0", "a 0 -1", "a -1 0", "a 0 0 0", "a x 0", "", "a 0 9223372036854775808"] {
            assert_eq!(error(&format!("0\n1\n{entry}\n")), CheckpointError::BadEntry { line: 3 }, "{entry}");
        }
        assert_eq!(error("0\n2\na 0 1\na 0 1\n"), CheckpointError::Duplicate { line: 4 });
        assert_eq!(decode_epochs("0\n1\n1\n"), Err(CheckpointError::BadEntry { line: 3 }));
    }
}
