//! Everything at once on one topic: three producers, fresh clients that come and go, a consumer that reads along, a watcher
//! of end offsets, a committer; and in the end the judgement on all that they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Observations;
use super::committer::Committer;
use super::librdkafka::{LibrdkafkaLoad, Target};
use super::probe::{Probe, Visits};
use super::program::{LoadClient, ProgramLoad};
use super::reader::{Reader, read_all};
use super::retries::take_duplicates_of_several_epochs;
use super::watcher::{self, Watcher};
use crate::clock::Moment;
use crate::history::anomaly::Anomaly;
use crate::history::check::{anomalies, expect_none};
use crate::history::content::Place;
use crate::records::KEPT;
use crate::replica_set::ReplicaSet;
use crate::replica_set::product::Product;
use crate::replica_set::replicas::Sameness;
use crate::replica_set::roles::Role;
use crate::wait::{let_pass, wait_until};
use crate::wire::Connection;

/// Partitions of the topic: each node leads some.
pub const PARTITIONS: i32 = 6;
/// The time between two records of a producer to one partition.
const STEP: Duration = Duration::from_millis(25);
/// The longest that the clients may take until all of them have had something acknowledged everywhere. On Apache Kafka a
/// client whose retry meets a leader that has forgotten the batch tries on until its own limit, which is five minutes in
/// librdkafka.
const FLOW_LIMIT: Duration = Duration::from_secs(330);
/// How long an acknowledgement from before a fault may be on its way to us.
const ON_ITS_WAY: Duration = Duration::from_millis(200);
/// Who has nothing acknowledged for so long has nothing on its way, on a busy machine.
const QUIET: Duration = Duration::from_secs(3);
/// The longest until then.
const QUIET_LIMIT: Duration = Duration::from_secs(60);
/// The longest that a node may take to say where a partition ends, and that it may take until a leader does, once the set is
/// whole.
const END_LIMIT: Duration = Duration::from_secs(60);

/// Where the coordinators keep what groups commit. It is compacted, by each replica for itself.
const GROUPS_TOPIC: &str = "__consumer_offsets";

const LIBRDKAFKA: u32 = 1;
const JAVA: u32 = 2;
const KAFKA_PYTHON: u32 = 3;
/// The first of the producers that send one record each, and never again.
const PROBE: u32 = 4;
const READER: u32 = 1;
const LAST_READER: u32 = 2;

/// A running load of all clients.
#[derive(Debug)]
pub struct Traffic {
    target: Target,
    into: Arc<Observations>,
    librdkafka: LibrdkafkaLoad,
    programs: Vec<ProgramLoad>,
    reader: Reader,
    watcher: Watcher,
    committer: Committer,
    probe: Arc<Probe>,
    visits: Visits,
}

impl Traffic {
    /// Creates the topic, starts all clients, and waits until each has had records acknowledged in every partition. A
    /// client that is missing where `CI` is not set is left out.
    ///
    /// # Errors
    /// When that does not come in time.
    pub fn start(set: &ReplicaSet, topic: &str) -> Result<Traffic> {
        // Records of fresh clients carry old timestamps.
        set.create_topic(topic, PARTITIONS, &KEPT)?;
        let into = Arc::new(Observations::default());
        let target =
            Target { bootstrap: set.bootstrap(), topic: topic.into(), partitions: PARTITIONS, step: STEP };
        let librdkafka = LibrdkafkaLoad::start(&target, LIBRDKAFKA, &into)?;
        let mut programs = Vec::new();
        for (client, producer) in [(LoadClient::Java, JAVA), (LoadClient::KafkaPython, KAFKA_PYTHON)] {
            programs.extend(ProgramLoad::start(client, &target, producer, &into)?);
        }
        let probe = Arc::new(Probe::new(PROBE));
        let traffic = Traffic {
            librdkafka,
            programs,
            reader: Reader::start(&target, READER, &into),
            watcher: Watcher::start(&target, &into),
            committer: Committer::start(&target, &group_of(topic), &into),
            visits: Visits::start(&probe, &target, &into),
            probe,
            target,
            into,
        };
        let flows = (1 + traffic.programs.len()) * usize::try_from(PARTITIONS)?;
        wait_until(FLOW_LIMIT, "every client produces to every partition", || {
            Ok(traffic.into.progress.flows() == flows)
        })
        .with_context(|| format!("{:?}", traffic.into.complaints()))?;
        Ok(traffic)
    }

    /// The group to which offsets are committed.
    #[must_use]
    pub fn group(&self) -> String {
        group_of(&self.target.topic)
    }

    /// A partition of the topic.
    #[must_use]
    pub fn place(&self, partition: i32) -> Place {
        Place::new(&self.target.topic, partition)
    }

    /// For each partition the longest time since `fault` in which no client had a record acknowledged, once all of them
    /// have had one again.
    ///
    /// # Errors
    /// When one never has.
    pub fn gaps(&self, fault: Moment) -> Result<BTreeMap<i32, Duration>> {
        // What was on its way when the fault came may still arrive.
        let_pass(ON_ITS_WAY);
        let since = Moment::now();
        wait_until(FLOW_LIMIT, "every client produces to every partition again", || {
            Ok(self.into.progress.silent_since(since).is_empty())
        })
        .with_context(|| {
            let silent = self.into.progress.silent_since(since);
            format!("of producers and partitions {silent:?} are silent; {:?}", self.into.complaints())
        })?;
        Ok(self.into.progress.longest_gaps(fault))
    }

    /// For each partition the time from `fault` until a fresh client's record was acknowledged.
    ///
    /// # Errors
    /// When that never happens.
    pub fn recoveries(&self, fault: Moment) -> Result<BTreeMap<i32, Duration>> {
        self.probe.recoveries(&self.target, fault, &self.into)
    }

    /// The partitions in which the node at `address`, which is left alone, acknowledges a record of a fresh client all the
    /// same, tried again and again for this long. It begins when all that was acknowledged before has arrived.
    ///
    /// # Errors
    /// When another client's record was acknowledged meanwhile, or they have acknowledgements without end.
    pub fn written_alone(&self, address: &str, how_long: Duration) -> Result<BTreeSet<i32>> {
        let latest = || self.into.progress.latest();
        let is_quiet = || latest().is_none_or(|(_, moment)| moment.elapsed() > QUIET);
        wait_until(QUIET_LIMIT, "nothing is acknowledged any more", || Ok(is_quiet()))
            .with_context(|| format!("the latest is {:?}", latest()))?;
        let begin = Moment::now();
        let mut written = BTreeSet::new();
        while begin.elapsed() < how_long {
            for partition in 0..PARTITIONS {
                if self.probe.attempt(address, &self.place(partition), &self.into).is_ok() {
                    written.insert(partition);
                }
            }
        }
        if let Some(((producer, partition), moment)) = latest()
            && moment >= begin
        {
            bail!("producer {producer} had a record acknowledged in partition {partition}");
        }
        Ok(written)
    }

    /// How many sends the clients that try again by themselves have given up.
    #[must_use]
    pub fn given_up(&self) -> usize {
        let (_, failed, unknown) = self.into.history.outcomes(..PROBE);
        failed + unknown
    }

    /// Lets every client finish, reads everything back, stops the nodes, and checks that no anomaly was seen and that
    /// the replicas are the same.
    ///
    /// # Errors
    /// When something is wrong; the error says what, and what clients complained of.
    pub fn judge(mut self, set: &mut ReplicaSet) -> Result<()> {
        let outcome = self.finish(set);
        outcome.with_context(|| format!("the clients complained: {:#?}", self.into.complaints()))
    }

    fn finish(&mut self, set: &mut ReplicaSet) -> Result<()> {
        set.wait_until_whole()?;
        self.librdkafka.finish().context("librdkafka")?;
        self.programs.iter_mut().try_for_each(ProgramLoad::finish)?;
        self.visits.finish()?;
        self.committer.finish()?;
        self.watcher.finish()?;
        self.reader.finish()?;
        let ends = ends_of(set, &self.target.topic)?;
        let groups = ends_of(set, GROUPS_TOPIC)?;
        read_all(&self.target, LAST_READER, &self.into, &ends)?;
        for (who, producers) in [("", 0..PROBE), (" of clients that try once", PROBE..u32::MAX)] {
            let (acknowledged, failed, unknown) = self.into.history.outcomes(producers);
            eprintln!("{acknowledged} records{who} acknowledged, {failed} refused, {unknown} given up");
        }
        set.check()?;
        let cluster = set.cluster()?;
        let holders = cluster.partitions.into_iter().map(|(place, view)| (place, view.replicas)).collect();
        set.stop_all()?;
        let mut found = anomalies(&self.into.history);
        let duplicates = take_duplicates_of_several_epochs(set, LIBRDKAFKA, &mut found)?;
        eprintln!("{duplicates} records were sent again by librdkafka under a new producer epoch");
        if set.product() == Product::Kafka {
            // A coordinator that has just loaded its groups answers what was committed below a high watermark that it does
            // not know yet. Source: CoordinatorLoaderImpl.java, where the last committed offset follows the high watermark.
            found.retain(|anomaly| !matches!(anomaly, Anomaly::CommittedOffsetRegression { .. }));
        }
        found.extend(set.divergences(&ends, &holders, Sameness::Batches)?);
        found.extend(set.divergences(&groups, &holders, Sameness::LatestValues)?);
        expect_none(&found).with_context(|| self.tell(set))
    }

    /// Writes down everything that was seen, beside the nodes' data, and says where.
    fn tell(&self, set: &ReplicaSet) -> String {
        let path = set.home().join("history");
        let lines = self.into.history.entries().into_iter().map(|entry| format!("{entry:?}\n"));
        match std::fs::write(&path, lines.collect::<String>()) {
            Ok(()) => format!("the history is in {} if OTTLA_TEST_KEEP keeps it", path.display()),
            Err(error) => format!("{}: {error}", path.display()),
        }
    }
}

/// Where the partitions of a topic that hold something end (exclusive).
fn ends_of(set: &ReplicaSet, topic: &str) -> Result<BTreeMap<Place, i64>> {
    let cluster = set.cluster()?;
    let mut ends = BTreeMap::new();
    for (place, _) in cluster.partitions(topic) {
        let mut end = end_of(set, place);
        wait_until(END_LIMIT, &format!("a leader says where {place} ends"), || {
            if end.is_err() {
                end = end_of(set, place);
            }
            Ok(end.is_ok())
        })
        .with_context(|| format!("{end:?}"))?;
        ends.insert(place.clone(), end?);
    }
    ends.retain(|_, end| *end > 0);
    Ok(ends)
}

fn end_of(set: &ReplicaSet, place: &Place) -> Result<i64> {
    let leader = set.who(&Role::Leader(place.clone()))?;
    let mut connection = Connection::open_within(set.node(leader)?.address(), END_LIMIT)?;
    Ok(watcher::end_offset(&mut connection, place)?.1)
}

fn group_of(topic: &str) -> String {
    format!("{topic}-group")
}
