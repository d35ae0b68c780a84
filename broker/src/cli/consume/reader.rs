//! Partitions and how far each is read; fetches from their leaders.

use super::show::ShownRecord;
use crate::cli::client::{Client, ClientError, OffsetAt, PartitionId, meaning, wire_name};
use crate::clock;
use anyhow::{Context, bail};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::FetchResponse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use storage::batch::{self, BatchError, DECOMPRESSED_BYTES_MAX};
use storage::records::records_of;

/// How long a leader waits for records. Longer: with several leaders, who has records waits for who has none. Shorter:
/// more requests while nothing comes.
const WAIT_MS: i32 = 500;
const WAIT_AMONG_SEVERAL_MS: i32 = 100;

/// How much one answer, and one partition in it, has at most. Larger: more memory. Smaller: more requests.
const ANSWER_BYTES_MAX: i32 = 32 * 1024 * 1024;
const PARTITION_BYTES_MAX: i32 = 1024 * 1024;

/// How far one partition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// The next offset.
    next: i64,
    /// Where reading it stops.
    end: Option<i64>,
}

impl Position {
    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }
}

/// Whole batches of one partition.
#[derive(Debug)]
pub(super) struct Batches {
    partition: PartitionId,
    bytes: Bytes,
}

/// Reads partitions.
#[derive(Debug, Default)]
pub(super) struct Reader {
    positions: BTreeMap<PartitionId, Position>,
    leaders: BTreeMap<PartitionId, String>,
    /// Since when not every leader answers, on the clock of [`clock::monotonic`].
    stuck_since: Option<Duration>,
}

impl Reader {
    /// Reads these as well: from `positions` on, up to `ends` where there are any.
    pub(super) fn add(
        &mut self,
        positions: BTreeMap<PartitionId, i64>,
        ends: Option<&BTreeMap<PartitionId, i64>>,
    ) {
        for (partition, next) in positions {
            let end = ends.map(|ends| ends.get(&partition).copied().unwrap_or(0));
            self.positions.insert(partition, Position { next, end });
        }
    }

    /// Reads these partitions only.
    pub(super) fn retain(&mut self, partitions: &BTreeSet<PartitionId>) {
        self.positions.retain(|partition, _| partitions.contains(partition));
    }

    pub(super) fn has(&self, partition: &PartitionId) -> bool {
        self.positions.contains_key(partition)
    }

    /// The next offset of each partition.
    pub(super) fn positions(&self) -> BTreeMap<PartitionId, i64> {
        self.positions.iter().map(|(partition, position)| (partition.clone(), position.next)).collect()
    }

    /// Whether there are partitions, and every one is read to where reading stops.
    pub(super) fn is_done(&self) -> bool {
        !self.positions.is_empty() && self.positions.values().all(Position::is_done)
    }

    /// Asks the leaders once. What they have is given to [`Reader::read`]. Some may be gone for as long as `patience`.
    pub(super) async fn fetch(
        &mut self,
        client: &mut Client,
        patience: Duration,
    ) -> anyhow::Result<Vec<Batches>> {
        if self.positions.is_empty() {
            client.pause("the group has no partition for this member yet".to_owned()).await;
            return Ok(Vec::new());
        }
        let mut trouble = self.find_leaders(client).await?;
        let mut by_leader: BTreeMap<&str, Vec<(&PartitionId, i64)>> = BTreeMap::new();
        for (partition, position) in self.positions.iter().filter(|(_, position)| !position.is_done()) {
            if let Some(leader) = self.leaders.get(partition) {
                by_leader.entry(leader).or_default().push((partition, position.next));
            }
        }
        let wait_ms = if by_leader.len() > 1 { WAIT_AMONG_SEVERAL_MS } else { WAIT_MS };
        let requests =
            by_leader.into_iter().map(|(leader, wanted)| (leader.to_owned(), request(&wanted, wait_ms)));
        let answers = client.call_each(requests.collect()).await;
        let mut fetched = Vec::new();
        for (leader, answer) in answers {
            match answer {
                Ok(answer) => trouble = self.take(client, answer, &mut fetched).await?.or(trouble),
                Err(error @ ClientError::Io { .. }) => {
                    self.leaders.retain(|_, address| *address != leader);
                    trouble = Some(error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        match trouble {
            None => self.stuck_since = None,
            Some(trouble) => {
                let now = clock::monotonic();
                if now.saturating_sub(*self.stuck_since.get_or_insert(now)) >= patience {
                    bail!("no records came for {} s: {trouble}", patience.as_secs());
                }
                client.pause(trouble).await;
            }
        }
        Ok(fetched)
    }

    /// Takes an answer apart. Returns what stood in the way of some partitions.
    async fn take(
        &mut self,
        client: &mut Client,
        answer: FetchResponse,
        fetched: &mut Vec<Batches>,
    ) -> anyhow::Result<Option<String>> {
        let mut trouble = None;
        for topic in answer.responses {
            for told in topic.partitions {
                let partition =
                    PartitionId { topic: topic.topic.to_string(), partition: told.partition_index };
                match ResponseError::try_from_code(told.error_code) {
                    None => fetched.extend(told.records.map(|bytes| Batches { partition, bytes })),
                    Some(ResponseError::OffsetOutOfRange) => {
                        self.find_place_again(client, &partition).await?;
                    }
                    Some(
                        error @ (ResponseError::NotLeaderOrFollower
                        | ResponseError::LeaderNotAvailable
                        | ResponseError::ReplicaNotAvailable
                        | ResponseError::FencedLeaderEpoch
                        | ResponseError::UnknownLeaderEpoch
                        | ResponseError::OffsetNotAvailable
                        | ResponseError::KafkaStorageError
                        | ResponseError::UnknownTopicOrPartition),
                    ) => {
                        trouble =
                            Some(format!("{}-{}: {}", partition.topic, partition.partition, meaning(&error)));
                        self.leaders.remove(&partition);
                    }
                    Some(error) => {
                        let what = format!("{}-{}", partition.topic, partition.partition);
                        return Err(ClientError::Refused { what, error }.into());
                    }
                }
            }
        }
        Ok(trouble)
    }

    /// Goes on at the first record that is there, where those that were to be read next are gone.
    async fn find_place_again(&mut self, client: &mut Client, partition: &PartitionId) -> anyhow::Result<()> {
        let found = client.offsets(std::slice::from_ref(partition), OffsetAt::Earliest).await?;
        let first = found.get(partition).and_then(|found| found.as_ref().ok().copied().flatten());
        let Some(position) = self.positions.get_mut(partition) else { return Ok(()) };
        let name = format!("{}-{}", partition.topic, partition.partition);
        match first {
            Some(first) if first > position.next => {
                eprintln!(
                    "ottla: {name}: the records from {} to {} are gone; going on at {first}",
                    position.next,
                    first - 1
                );
                position.next = first;
                Ok(())
            }
            _ => bail!("{name} has no offset {}: was it deleted and made again?", position.next),
        }
    }

    /// Looks for the leaders that are not known. Returns which partition has none.
    async fn find_leaders(&mut self, client: &mut Client) -> anyhow::Result<Option<String>> {
        let lacking = self.positions.keys().filter(|partition| !self.leaders.contains_key(*partition));
        let topics: BTreeSet<String> = lacking.map(|partition| partition.topic.clone()).collect();
        for name in topics {
            let topic = match client.topic(&name).await? {
                Ok(topic) => topic,
                Err(error) => return Err(ClientError::Refused { what: name, error }.into()),
            };
            for state in topic.partitions {
                let id = PartitionId { topic: name.clone(), partition: state.partition };
                if let Some(address) = state.leader.and_then(|leader| client.address_of(leader)) {
                    self.leaders.insert(id, address);
                }
            }
        }
        let waits = self.positions.keys().find(|partition| !self.leaders.contains_key(*partition));
        Ok(waits.map(|PartitionId { topic, partition }| format!("{topic}-{partition} has no leader")))
    }

    /// Hands records to `show`, in order, until it wants no more; and remembers how far that was.
    pub(super) fn read(
        &mut self,
        batches: &Batches,
        show: &mut dyn FnMut(&ShownRecord<'_>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let PartitionId { topic, partition } = &batches.partition;
        let Some(position) = self.positions.get_mut(&batches.partition) else { return Ok(()) };
        let mut rest: &[u8] = &batches.bytes;
        while !rest.is_empty() && !position.is_done() {
            let header = match batch::check(rest) {
                Ok(header) => header,
                // An answer may end within a batch, which the next one has whole.
                Err(BatchError::Incomplete { .. }) => break,
                Err(error) => {
                    return Err(error).context(format!("{topic}-{partition} at offset {}", position.next));
                }
            };
            let records = records_of(rest, DECOMPRESSED_BYTES_MAX)
                .with_context(|| format!("{topic}-{partition} at offset {}", header.base_offset))?;
            for record in records.iter().filter(|_| !header.attributes.is_control()) {
                let record =
                    record.with_context(|| format!("{topic}-{partition} at offset {}", position.next))?;
                if record.offset.0 < position.next || position.end.is_some_and(|end| record.offset.0 >= end) {
                    continue;
                }
                let is_append_time = header.attributes.is_log_append_time();
                if !show(&ShownRecord { topic, partition: *partition, is_append_time, record })? {
                    return Ok(());
                }
                position.next = record.offset.0 + 1;
            }
            position.next = position.next.max(header.next_offset().0);
            rest = rest.get(header.size_in_bytes()..).unwrap_or_default();
        }
        Ok(())
    }
}

fn request(wanted: &[(&PartitionId, i64)], wait_ms: i32) -> FetchRequest {
    let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
    for (partition, offset) in wanted {
        let place = FetchPartition::default()
            .with_partition(partition.partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(*offset)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(PARTITION_BYTES_MAX);
        topics.entry(&partition.topic).or_default().push(place);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        FetchTopic::default().with_topic(wire_name(name)).with_partitions(partitions)
    });
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(ANSWER_BYTES_MAX)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use super::{Batches, Reader};
    use crate::cli::client::PartitionId;
    use std::collections::BTreeMap;
    use storage::batch_builder::{BatchBuilder, BatchSpec};
    use storage::compression::Codec;
    use storage::ids::{Offset, TimestampMs};

    fn partition() -> PartitionId {
        PartitionId { topic: "events".to_owned(), partition: 0 }
    }

    fn reader(next: i64, end: Option<i64>) -> Reader {
        let mut reader = Reader::default();
        let ends = end.map(|end| BTreeMap::from([(partition(), end)]));
        reader.add(BTreeMap::from([(partition(), next)]), ends.as_ref());
        reader
    }

    /// Two batches: offsets 5 to 7 compressed, and 8 to 9; then half of a third.
    fn batches() -> Batches {
        let batch = |base_offset, codec, count| {
            let spec = BatchSpec { base_offset: Offset(base_offset), codec, ..BatchSpec::default() };
            let mut builder = BatchBuilder::new(spec);
            (0..count).for_each(|_| builder.push(TimestampMs(0), None, Some(b"v"), &[]));
            builder.build().expect("it is built")
        };
        let third = batch(10, Codec::None, 1);
        let (half, _) = third.split_at(third.len() / 2);
        let bytes = [batch(5, Codec::Gzip, 3), batch(8, Codec::None, 2), half.to_vec()].concat();
        Batches { partition: partition(), bytes: bytes.into() }
    }

    fn read(reader: &mut Reader, batches: &Batches, at_most: usize) -> anyhow::Result<Vec<i64>> {
        let mut offsets = Vec::new();
        reader.read(batches, &mut |shown| {
            let is_wanted = offsets.len() < at_most;
            offsets.extend(is_wanted.then_some(shown.record.offset.0));
            Ok(is_wanted)
        })?;
        Ok(offsets)
    }

    #[test]
    fn records_from_the_position_to_the_end_are_shown() {
        let mut all = reader(0, None);
        assert_eq!(read(&mut all, &batches(), 99).expect("they are whole"), [5, 6, 7, 8, 9]);
        assert!(!all.is_done());
        let mut some = reader(6, Some(9));
        assert_eq!(read(&mut some, &batches(), 99).expect("they are whole"), [6, 7, 8]);
        assert!(some.is_done());
    }

    #[test]
    fn records_that_were_not_wanted_are_read_the_next_time() {
        let mut reader = reader(0, None);
        assert_eq!(read(&mut reader, &batches(), 2).expect("they are whole"), [5, 6]);
        assert_eq!(read(&mut reader, &batches(), 99).expect("they are whole"), [7, 8, 9]);
    }

    #[test]
    fn damage_is_an_error_that_says_where() {
        let mut bytes = batches().bytes.to_vec();
        *bytes.get_mut(65).expect("there are more") ^= 1;
        let damaged = Batches { partition: partition(), bytes: bytes.into() };
        let error = read(&mut reader(5, None), &damaged, 99).expect_err("the CRC differs");
        assert!(format!("{error:#}").starts_with("events-0 at offset 5: the stored CRC"), "{error:#}");
    }
}
