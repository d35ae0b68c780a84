//! A node for tests: the real parts on a directory of its own, without ports.

pub(crate) mod replica_set;
pub(crate) mod running_set;

use super::introduction::{self, Outside};
use super::{Events, log_dir_settings, open};
use crate::api::{self, Outcome, PendingOutcome, RequestContext};
use crate::broker::Broker;
use crate::clock;
use crate::isr;
use crate::metadata_follower;
use crate::metrics::Metrics;
use crate::open_files::OpenFiles;
use crate::partition::Partition;
use crate::partitions::Partitions;
use crate::replica_server;
use crate::settings::Settings;
use crate::stopping::{StopSwitch, Stopping};
use crate::wire::request_header::RequestPrefix;
use bytes::{Bytes, BytesMut};
use config::parse::{self, Sources};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use replication::leader::{IsrRules, PartitionMetadata};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use storage::batch::{self, AppendOrigin, AppendRules};
use storage::batch_builder::{BatchBuilder, BatchSpec};
use storage::ids::{LeaderEpoch, TimestampMs};
use storage::log_dir::{FlushDriver, LogDirSettings};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A node whose requests are handed to it one by one.
pub(crate) struct TestNode {
    pub(crate) broker: Arc<Broker>,
    pub(crate) connection_ends: StopSwitch,
    ending: Stopping,
    background_switch: StopSwitch,
    background: Vec<JoinHandle<()>>,
    set: Vec<String>,
    directory: TempDir,
}

/// What a node leaves behind that was killed.
pub(crate) struct Remains {
    set: Vec<String>,
    directory: TempDir,
}

impl TestNode {
    /// A node with these settings (`key=value`) beside its directory.
    pub(crate) async fn start(set: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let set = set.iter().map(|&setting| setting.to_owned()).collect();
        Self::start_in(directory, set, LogDirSettings::new(clock::monotonic).flush_driver).await
    }

    /// The same, and nothing is flushed until a test does it: [`Self::flush`].
    pub(crate) async fn start_without_flusher(set: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let set = set.iter().map(|&setting| setting.to_owned()).collect();
        Self::start_in(directory, set, FlushDriver::Manual).await
    }

    /// Flushes everything that waits for it.
    pub(crate) async fn flush(&self) {
        let broker = Arc::clone(&self.broker);
        tokio::task::spawn_blocking(move || broker.log_dir.flush_round()).await.expect("no panic");
    }

    /// Stops cleanly and starts again on the same directory.
    pub(crate) async fn restart(mut self) -> Self {
        let set = std::mem::take(&mut self.set);
        let directory = self.stop_on_directory().await;
        let flush_driver = LogDirSettings::new(clock::monotonic).flush_driver;
        Self::start_in(directory, set, flush_driver).await
    }

    async fn start_in(directory: TempDir, wanted: Vec<String>, flush_driver: FlushDriver) -> Self {
        let mut set = wanted.clone();
        set.push(format!("log.dirs={}", directory.path().display()));
        set.push("ottla.free.space.floor.bytes=0".to_owned());
        let loaded =
            parse::load(&Sources { file: None, environment: Vec::new(), set }).expect("valid settings");
        let settings = Settings { layers: loaded.layers(), broker: loaded.broker };
        let partitions = Arc::new(Partitions::default());
        let has_failed = Arc::new(AtomicBool::new(false));
        let events = Events {
            partitions: Arc::clone(&partitions),
            has_failed: Arc::clone(&has_failed),
            failed: watch::channel(None).0,
            metrics: Arc::new(Metrics::register()),
            checkpoint_due: Arc::default(),
        };
        let (_not_told_to_stop, stopping) = StopSwitch::new();
        let peers = introduction::bind(&settings.broker).await.expect("the port is free");
        let is_in_set = peers.is_some();
        let outside = Outside { peers, kafka_port: 9092, stopping };
        let open_files = OpenFiles::share(None, 0).expect("there is no limit");
        let opened = tokio::task::spawn_blocking(move || {
            let log_dir = LogDirSettings { flush_driver, ..log_dir_settings(&settings.broker, open_files) };
            open(settings, log_dir, open_files, partitions, has_failed, events, outside)
        })
        .await;
        let broker = opened.expect("no panic").expect("an empty directory can be used");
        let (background_switch, stopping) = StopSwitch::new();
        let images = broker.quorum.subscribe();
        let follower = metadata_follower::run(Arc::clone(&broker), images, stopping.clone());
        let mut background = vec![tokio::spawn(follower)];
        if is_in_set {
            background.push(tokio::spawn(replica_server::run(Arc::clone(&broker), stopping.clone())));
            background.push(tokio::spawn(isr::run(Arc::clone(&broker), stopping)));
            broker.quorum.say_ready();
        }
        let (connection_ends, ending) = StopSwitch::new();
        Self { broker, connection_ends, ending, background_switch, background, set: wanted, directory }
    }

    /// Ends it as a crash does, as far as that can be in a process that goes on: nothing is flushed, marked or told.
    pub(crate) async fn crash(mut self) -> Remains {
        self.stop_following().await;
        self.broker.coordinators.stop().await;
        self.broker.replica_fetchers.stop().await;
        let gone = Arc::downgrade(&self.broker);
        let broker = self.broker;
        tokio::task::spawn_blocking(move || broker.quorum.shutdown()).await.expect("no panic");
        // The lock on the directory goes with the last that knows the node.
        replica_set::until(async || gone.strong_count() == 0).await;
        Remains { set: self.set, directory: self.directory }
    }

    /// Starts a node that was killed.
    pub(crate) async fn start_again(remains: Remains) -> Self {
        let flush_driver = LogDirSettings::new(clock::monotonic).flush_driver;
        Self::start_in(remains.directory, remains.set, flush_driver).await
    }

    /// Ends the tasks in the background, of which one follows the metadata.
    pub(crate) async fn stop_following(&mut self) {
        self.background_switch.stop();
        for task in std::mem::take(&mut self.background) {
            task.await.expect("no panic");
        }
    }

    /// Where the node keeps its data.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops cleanly.
    pub(crate) async fn stop(self) {
        drop(self.stop_on_directory().await);
    }

    async fn stop_on_directory(mut self) -> TempDir {
        self.broker.coordinators.stop().await;
        self.stop_following().await;
        self.broker.replica_fetchers.stop().await;
        let broker = self.broker;
        tokio::task::spawn_blocking(move || {
            broker.log_dir.clean_stop(broker.quorum.broker_epoch()).expect("the disk works");
            broker.quorum.shutdown();
        })
        .await
        .expect("no panic");
        self.directory
    }

    pub(crate) fn context(&self, version: i16) -> RequestContext {
        RequestContext {
            broker: Arc::clone(&self.broker),
            local_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9092)),
            peer_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)),
            client_id: "test".to_owned(),
            software: Arc::default(),
            version,
            request_bytes: 100,
            mute: Arc::default(),
            ending: self.ending.clone(),
            memory: Arc::default(),
            timeline: Arc::default(),
        }
    }

    /// Takes `request` through the encoding, the table of APIs and the handler.
    pub(crate) async fn outcome<Q: Encodable>(&self, key: i16, version: i16, request: &Q) -> Outcome {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).expect("the request fits its version");
        self.outcome_of_bytes(key, version, body.freeze()).await
    }

    /// Hands `request` to its handler, which may answer much later.
    pub(crate) fn begin<Q: Encodable>(&self, key: i16, version: i16, request: &Q) -> PendingOutcome {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).expect("the request fits its version");
        let api = api::find(key).expect("the API is served");
        let request = api::decode_request(api, version, body.freeze()).expect("the request can be read");
        let prefix = RequestPrefix { api_key: key, api_version: version, correlation_id: 7 };
        api::dispatch(request, prefix, self.context(version))
    }

    pub(crate) async fn outcome_of_bytes(&self, key: i16, version: i16, body: Bytes) -> Outcome {
        let api = api::find(key).expect("the API is served");
        let request = api::decode_request(api, version, body).expect("the request can be read");
        let prefix = RequestPrefix { api_key: key, api_version: version, correlation_id: 7 };
        let outcome = api::dispatch(request, prefix, self.context(version)).await;
        outcome.unwrap_or_else(|error| panic!("{} in version {version}: {error}", api.name))
    }

    /// The response to `request`, read back with the decoder of the crate; nothing of it may be left over.
    pub(crate) async fn ask<Q, A>(&self, key: i16, version: i16, request: &Q) -> A
    where
        Q: Encodable,
        A: Decodable + HeaderVersion,
    {
        response(self.outcome(key, version, request).await, version)
    }

    /// Has the node lead `partition`, of which it is the only replica, in another epoch.
    pub(crate) fn lead(&self, partition: &Partition, epoch: i32) {
        let (topic_id, index) = partition.key();
        let image = self.broker.image();
        let topic = image.topic_by_id(topic_id).expect("the topic is there");
        let mut state = topic.partition(index).expect("the partition is there").clone();
        state.leader_epoch = LeaderEpoch(epoch);
        let rules = IsrRules { min_insync_replicas: 1, replica_lag_time_max: Duration::from_secs(30) };
        let metadata = PartitionMetadata { partition: &state, rules, brokers: &|_| None };
        partition.lead(self.broker.node_id(), metadata);
    }

    /// Creates a topic, which must succeed.
    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) {
        self.create(name, partitions, &[]).await;
    }

    /// Creates a topic of one partition with these settings, which must succeed.
    pub(crate) async fn create_topic_with(&self, name: &str, settings: &[(&str, &str)]) {
        self.create(name, 1, settings).await;
    }

    async fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let configs = settings.iter().map(|&(name, value)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        });
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(-1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_timeout_ms(30_000).with_topics(vec![topic]);
        let created: CreateTopicsResponse = self.ask(19, 7, &request).await;
        assert!(created.topics.iter().all(|topic| topic.error_code == 0), "{created:?}");
    }
}

/// The response in `outcome`.
pub(crate) fn response<A: Decodable + HeaderVersion>(outcome: Outcome, version: i16) -> A {
    let Outcome::Send(frame) = outcome else { panic!("no response, but {outcome:?}") };
    let header = if A::header_version(version) >= 1 { 9 } else { 8 };
    let mut body = Bytes::from(frame.pieces.concat()).slice(header..);
    let decoded = A::decode(&mut body, version).expect("the response can be read");
    assert!(body.is_empty(), "{} bytes are left over in version {version}", body.len());
    decoded
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Appends a record of each timestamp to a partition that is led.
pub(crate) fn append(partition: &Partition, timestamps: &[i64]) {
    let now = TimestampMs(1);
    let rules = AppendRules::of_topic(&partition.log.config(), AppendOrigin::Client, 9);
    let batch = batch::validate(batch(timestamps), &rules, now).expect("a valid batch");
    let leadership = partition.leadership().expect("it leads");
    partition.append(batch, &leadership, now).expect("there is room");
}

/// A batch with a record of each timestamp.
pub(crate) fn batch(timestamps: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    for &timestamp in timestamps {
        builder.push(TimestampMs(timestamp), None, Some(b"value"), &[]);
    }
    builder.build().expect("a small batch").into()
}
