//! What an idempotent load was promised, and whether a log keeps it.
//!
//! One idempotent producer numbers its records from 0 in each partition of a new topic, and sends each until it is
//! acknowledged. Whatever happens to the broker in between, a record's number must then be its offset: a lost record
//! shifts the later ones down, a doubled one shifts them up.

pub mod acknowledgements;

use anyhow::{Context as _, Result, ensure};

/// The acknowledgements of one load, by partition.
#[derive(Debug)]
pub struct Ledger {
    acknowledged_end: Vec<i64>,
    violation: Option<String>,
}

impl Ledger {
    /// A ledger for a topic of `partitions` empty partitions.
    #[must_use]
    pub fn new(partitions: usize) -> Ledger {
        Ledger { acknowledged_end: vec![0; partitions], violation: None }
    }

    /// Notes that the record `number` of `partition` was acknowledged at `offset`.
    pub fn acknowledge(&mut self, partition: usize, number: i64, offset: i64) {
        if number != offset {
            self.violate(format!(
                "record {number} of partition {partition} was acknowledged at offset {offset}"
            ));
        }
        if let Some(end) = self.acknowledged_end.get_mut(partition) {
            *end = (*end).max(number + 1);
        }
    }

    /// Notes that the client gave a record up, which no fault of a broker may make it do.
    pub fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// How many records have been acknowledged in all partitions together.
    #[must_use]
    pub fn acknowledged(&self) -> i64 {
        self.acknowledged_end.iter().sum()
    }

    /// The offset after the last acknowledged record (exclusive).
    #[must_use]
    pub fn acknowledged_end(&self, partition: usize) -> i64 {
        self.acknowledged_end.get(partition).copied().unwrap_or_default()
    }

    /// The offsets after the last acknowledged records (exclusive), by partition.
    #[must_use]
    pub fn acknowledged_ends(&self) -> Vec<i64> {
        self.acknowledged_end.clone()
    }

    /// Checks that no acknowledgement so far was wrong in itself.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&self) -> Result<()> {
        ensure!(self.violation.is_none(), "{}", self.violation.as_deref().unwrap_or_default());
        Ok(())
    }
}

/// Follows a read of one partition from its start.
#[derive(Debug, Default)]
pub struct ReadBack {
    next: i64,
}

impl ReadBack {
    /// Takes the next record of the partition.
    ///
    /// # Errors
    /// When it is not the record that belongs there.
    pub fn add(&mut self, offset: i64, payload: &[u8]) -> Result<()> {
        let number = number_of(payload)?;
        ensure!(offset == self.next, "offset {offset} came where {} was due", self.next);
        ensure!(number == offset, "record {number} is at offset {offset}");
        self.next += 1;
        Ok(())
    }

    /// The offset after the last record that was read (exclusive).
    #[must_use]
    pub fn end(&self) -> i64 {
        self.next
    }
}

/// The payload of a record: its number, and enough besides for a few records to fill a page.
#[must_use]
pub fn payload(number: i64) -> Vec<u8> {
    format!("{number} {:>80}", number.wrapping_mul(7_919)).into_bytes()
}

/// The number that [`payload`] put into a record, which must be whole.
///
/// # Errors
/// When these are not the bytes that were sent.
pub fn number_of(value: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(value).context("a damaged record")?;
    let number = text.split(' ').next().and_then(|number| number.parse().ok()).context("a damaged record")?;
    ensure!(payload(number) == value, "a damaged record: {text:?}");
    Ok(number)
}
