//! Records as the client programs exchange them, and the sample that each client has to bring through.
//!
//! Bytes travel as lower-case hexadecimal, so that no client's idea of text can change them.

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The time of the first sample record, in milliseconds since the epoch; each later one is [`TIMESTAMP_STEP`] further.
pub const FIRST_TIMESTAMP: i64 = 1_700_000_000_000;
/// Milliseconds between the sample's records.
pub const TIMESTAMP_STEP: i64 = 1_000;
/// A topic's setting that keeps the sample's records in spite of their age.
pub const KEPT: [(&str, &str); 1] = [("retention.ms", "-1")];
/// The size of the large value: what people call 1 MB, under Kafka's default `max.message.bytes` of 1,048,588.
const LARGE_VALUE: usize = 1_000_000;

/// A record as a client sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The key, which may be absent.
    pub key: Option<Hex>,
    /// The value, which may be absent (a tombstone) or empty.
    pub value: Option<Hex>,
    /// Headers in order; names may repeat.
    pub headers: Vec<(String, Option<Hex>)>,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
}

impl Record {
    /// Whether the key, the value or a header's value is there and empty.
    #[must_use]
    pub fn has_empty_bytes(&self) -> bool {
        let headers = self.headers.iter().map(|(_, value)| value);
        [&self.key, &self.value].into_iter().chain(headers).flatten().any(|bytes| bytes.0.is_empty())
    }
}

/// A record as a client reads it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    /// The topic that the client reports.
    pub topic: String,
    /// The partition that the client reports.
    pub partition: i32,
    /// The offset in that partition.
    pub offset: i64,
    /// Its content.
    #[serde(flatten)]
    pub record: Record,
}

/// Bytes that travel as hexadecimal text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hex(String);

impl Hex {
    /// Wraps bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Hex {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
        Hex(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect())
    }

    /// The bytes.
    ///
    /// # Errors
    /// When a client sent something else than pairs of digits.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let pairs = self.0.as_bytes().chunks(2);
        let byte = |pair: &[u8]| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?);
        pairs.map(byte).collect()
    }
}

impl std::fmt::Debug for Hex {
    /// Shows the beginning only: a failed comparison of large values must stay readable.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.0.get(..32).unwrap_or(&self.0);
        write!(formatter, "{} bytes {shown}", self.0.len() / 2)
    }
}

/// What a log of events contains, corner cases included: null, empty and large values, null keys, headers whose names
/// repeat or are not ASCII or have no value, and some ordinary records around them.
#[must_use]
pub fn sample() -> Vec<Record> {
    let mut records: Vec<Record> = (0..20).map(ordinary).collect();
    let mut add = |key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(Hex::new))).collect();
        records.push(Record { key: key.map(Hex::new), value: value.map(Hex::new), headers, timestamp: 0 });
    };
    add(None, Some(b"null key"), &[]);
    add(Some(b"null value"), None, &[]);
    add(Some(b"empty value"), Some(b""), &[]);
    add(Some(b""), Some(b"empty key"), &[]);
    add(Some(b"bytes"), Some(&[0, 255, 128, 10, 13, 0]), &[]);
    add(Some(b"one header"), Some(b"v"), &[("trace", Some(b"\x00\xff"))]);
    add(Some(b"equal names"), Some(b"v"), &[("a", Some(b"1")), ("b", Some(b"2")), ("a", Some(b"3"))]);
    add(Some(b"odd headers"), Some(b"v"), &[("größe", Some(b"")), ("none", None)]);
    add(Some(b"large"), Some(&noise(LARGE_VALUE)), &[]);
    records.extend((20..40).map(ordinary));
    for (record, timestamp) in records.iter_mut().zip((FIRST_TIMESTAMP..).step_by(TIMESTAMP_STEP as usize)) {
        record.timestamp = timestamp;
    }
    records
}

/// `count` records with values of `value_size` bytes that hardly compress, a second apart.
#[must_use]
pub fn bulk(count: i64, value_size: usize) -> Vec<Record> {
    let value = Hex::new(&noise(value_size));
    (0..count).map(|number| Record { value: Some(value.clone()), ..ordinary(number) }).collect()
}

fn ordinary(number: i64) -> Record {
    Record {
        key: Some(Hex::new(format!("sensor-{}", number % 7).as_bytes())),
        value: Some(Hex::new(format!("{{\"reading\":{number},\"unit\":\"celsius\"}}").as_bytes())),
        headers: Vec::new(),
        timestamp: FIRST_TIMESTAMP + number * TIMESTAMP_STEP,
    }
}

/// Bytes that hardly compress; the same at every call.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}
