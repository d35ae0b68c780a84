//! What replicas hold on disk: the same batches, byte for byte, at the same offsets; where a topic is compacted, which each
//! replica does by itself, the same latest value of each key.
//!
//! The nodes must be down, or nothing be written. Segments are named by their first offset, and a segment ends where the next
//! one begins or zeros stand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;

use super::ReplicaSet;
use crate::history::anomaly::Anomaly;
use crate::history::content::Place;
use crate::wire::batch;

/// The batches of one replica by their base offsets, and where its log begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The node that holds it.
    pub node: i32,
    /// The first offset.
    pub start: i64,
    /// The offset after the last record (exclusive).
    pub end: i64,
    /// The batches.
    pub batches: BTreeMap<i64, Bytes>,
}

/// What must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// Every batch.
    Batches,
    /// The latest value of each key.
    LatestValues,
}

impl Replica {
    /// Reads the log of a partition from a node's data directory.
    ///
    /// # Errors
    /// When there is none, or it does not read.
    pub fn read(node: i32, data_dir: &Path, place: &Place) -> Result<Replica> {
        let directory = data_dir.join(place.to_string());
        let mut segments = BTreeMap::new();
        for file in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let name = path.file_stem().and_then(|stem| stem.to_str()).context("a name of a segment")?;
                segments.insert(name.parse::<i64>()?, path);
            }
        }
        let mut replica = Replica { node, start: 0, end: 0, batches: BTreeMap::new() };
        replica.start = segments.keys().next().copied().unwrap_or_default();
        replica.end = replica.start;
        let nexts: Vec<i64> = segments.keys().skip(1).copied().chain([i64::MAX]).collect();
        for ((base, path), next) in segments.into_iter().zip(nexts) {
            replica.end = replica.end.max(base);
            replica.add(fs::read(&path)?.into(), next);
        }
        Ok(replica)
    }

    /// Adds the batches of a segment up to the next one's first offset.
    fn add(&mut self, mut bytes: Bytes, next: i64) {
        while let Some((length, end)) = batch::extent(&bytes).filter(|&(length, _)| length <= bytes.len()) {
            let batch = bytes.split_to(length);
            let Some(base_offset) = batch.first_chunk().map(|bytes| i64::from_be_bytes(*bytes)) else {
                return;
            };
            if base_offset < self.end || end > next {
                return;
            }
            self.batches.insert(base_offset, batch);
            self.end = end;
        }
    }

    /// The producer id and epoch of the batch that holds an offset.
    #[must_use]
    pub fn producer_at(&self, offset: i64) -> Option<(i64, i16)> {
        let (_, batch) = self.batches.range(..=offset).next_back()?;
        batch::extent(batch).filter(|&(_, end)| offset < end)?;
        let id = i64::from_be_bytes(*batch.get(batch::PRODUCER_ID..)?.first_chunk()?);
        let epoch = i16::from_be_bytes(*batch.get(batch::PRODUCER_EPOCH..)?.first_chunk()?);
        Some((id, epoch))
    }

    /// The latest value of each key below `end` (exclusive), with its offset. A key whose latest value is a tombstone is
    /// left out, which may be gone already in one replica and not yet in the other.
    ///
    /// # Errors
    /// When a batch does not decode.
    pub fn latest_values(&self, end: i64) -> Result<BTreeMap<Bytes, (i64, Option<Bytes>)>> {
        let mut latest = BTreeMap::new();
        for batch in self.batches.range(..end).map(|(_, batch)| batch) {
            for record in RecordBatchDecoder::decode(&mut batch.clone())?.records {
                if let Some(key) = record.key.filter(|_| record.offset < end && !record.control) {
                    latest.insert(key, (record.offset, record.value));
                }
            }
        }
        latest.retain(|_, (_, value)| value.is_some());
        Ok(latest)
    }
}

/// The first difference between replicas of one partition below `end` (exclusive), where both have offsets.
///
/// # Errors
/// When a batch does not decode.
pub fn divergence(
    place: &Place,
    replicas: &[Replica],
    end: i64,
    sameness: Sameness,
) -> Result<Option<Anomaly>> {
    let Some((first, others)) = replicas.split_first() else { return Ok(None) };
    for other in others {
        let found = match sameness {
            Sameness::Batches => different_batch(first, other, end),
            Sameness::LatestValues => different_value(first, other, end)?,
        };
        if let Some((offset, what)) = found {
            let how = format!("nodes {} and {}: {what}", first.node, other.node);
            return Ok(Some(Anomaly::ReplicaDivergence { place: place.clone(), offset, how }));
        }
    }
    Ok(None)
}

fn different_batch(one: &Replica, other: &Replica, end: i64) -> Option<(i64, String)> {
    let start = one.start.max(other.start);
    if let Some(short) = [one, other].into_iter().find(|replica| replica.end < end) {
        return Some((short.end, format!("{} ends at {}, before {end}", short.node, short.end)));
    }
    let offsets =
        |replica: &Replica| replica.batches.range(start..end).map(|(&base, _)| base).collect::<Vec<_>>();
    let (ones, others) = (offsets(one), offsets(other));
    let missing = ones.iter().find(|base| !other.batches.contains_key(base));
    let surplus = others.iter().find(|base| !one.batches.contains_key(base));
    if let Some(&base) = missing.or(surplus) {
        return Some((base, "only one of them has a batch there".to_owned()));
    }
    let base = ones.into_iter().find(|base| one.batches.get(base) != other.batches.get(base))?;
    Some((base, "their batches differ".to_owned()))
}

fn different_value(one: &Replica, other: &Replica, end: i64) -> Result<Option<(i64, String)>> {
    let (ones, others) = (one.latest_values(end)?, other.latest_values(end)?);
    let differs = |(key, latest): &(&Bytes, &(i64, Option<Bytes>)), than: &BTreeMap<_, _>| {
        than.get(*key).is_none_or(|found| found != *latest)
    };
    let mut pairs = ones.iter().map(|pair| (pair, &others)).chain(others.iter().map(|pair| (pair, &ones)));
    let found = pairs.find(|(pair, than)| differs(pair, than));
    Ok(found.map(|((key, (offset, _)), _)| (*offset, format!("the latest value of {key:?}"))))
}

impl ReplicaSet {
    /// Compares the replicas of every partition of a topic, whose nodes are down, up to the end that was known before.
    ///
    /// # Errors
    /// When a log does not read.
    pub fn divergences(
        &self,
        ends: &BTreeMap<Place, i64>,
        holders: &BTreeMap<Place, Vec<i32>>,
        sameness: Sameness,
    ) -> Result<Vec<Anomaly>> {
        let mut found = Vec::new();
        for (place, &end) in ends {
            let holders = holders.get(place).map_or_else(|| self.ids(), Clone::clone);
            ensure!(!holders.is_empty(), "nobody holds {place}");
            let replicas = holders.iter().map(|&id| Replica::read(id, self.node(id)?.data_dir(), place));
            let replicas: Vec<Replica> = replicas.collect::<Result<_>>()?;
            found.extend(divergence(place, &replicas, end, sameness)?);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Place, Replica, Sameness, divergence};
    use crate::history::anomaly::Anomaly;
    use crate::wire::batch;

    fn place() -> Place {
        Place::new(&"t".into(), 0)
    }

    /// A replica with one batch of one record for each pair of key and value, from `start` on.
    fn replica(node: i32, start: i64, records: &[(&'static str, &'static str)]) -> Replica {
        let mut replica = Replica { node, start, end: start, batches: Default::default() };
        for (offset, &(key, value)) in (start..).zip(records) {
            let record = batch::record(offset, Some(Bytes::from(key)), Bytes::from(value));
            replica.add(batch::encode(&[record]).unwrap(), i64::MAX);
        }
        replica
    }

    fn first_difference(one: Replica, other: Replica, end: i64, sameness: Sameness) -> Option<i64> {
        divergence(&place(), &[one, other], end, sameness).unwrap().map(|anomaly| match anomaly {
            Anomaly::ReplicaDivergence { offset, .. } => offset,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn producer_of_an_offset_is_that_of_its_batch() {
        let log = replica(1, 5, &[("a", "1"), ("b", "2")]);
        assert_eq!(log.producer_at(6), Some((-1, -1)));
        assert_eq!(log.producer_at(4), None);
        assert_eq!(log.producer_at(7), None);
    }

    #[test]
    fn equal_replicas_do_not_differ_also_where_one_begins_later_or_has_more_to_come() {
        let log = [("a", "1"), ("b", "2"), ("a", "3")];
        let difference = |other| first_difference(replica(1, 0, &log), other, 3, Sameness::Batches);
        assert_eq!(difference(replica(2, 0, &log)), None);
        assert_eq!(difference(replica(2, 1, &log[1..])), None);
        let more = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")];
        assert_eq!(difference(replica(2, 0, &more)), None);
    }

    #[test]
    fn another_byte_or_a_missing_batch_is_found() {
        let log = [("a", "1"), ("b", "2"), ("a", "3")];
        let difference = |other| first_difference(replica(1, 0, &log), other, 3, Sameness::Batches);
        assert_eq!(difference(replica(2, 0, &[("a", "1"), ("b", "X"), ("a", "3")])), Some(1));
        assert_eq!(difference(replica(2, 0, &log[..2])), Some(2));
        let mut gap = replica(2, 0, &log);
        gap.batches.remove(&1);
        assert_eq!(difference(gap), Some(1));
    }

    #[test]
    fn compacted_replicas_may_differ_in_batches_and_not_in_latest_values() {
        let log = [("a", "1"), ("b", "2"), ("a", "3")];
        let difference = |other| first_difference(replica(1, 0, &log), other, 3, Sameness::LatestValues);
        let mut compacted = replica(2, 0, &log);
        compacted.batches.remove(&0);
        assert_eq!(difference(compacted.clone()), None);
        compacted.batches.remove(&1);
        assert_eq!(difference(compacted), Some(1));
        assert_eq!(difference(replica(2, 0, &[("a", "1"), ("b", "2"), ("a", "X")])), Some(2));
    }
}
