use super::*;
use crate::quorum::state_machine::StateMachine;
use crate::quorum::store::FailureReport;
use crate::quorum::store::LogStore;
use crate::quorum::thread::open_files;
use crate::quorum::types::{Applied, Entry, MetadataBatch, RaftStorageError, TypeConfig, log_id};
use crate::stopping::StopSwitch;
use openraft::storage::RaftStateMachine;
use openraft::testing::{StoreBuilder, Suite};
use openraft::{EntryPayload, ErrorSubject, ErrorVerb};
use replication::controller::configs::{AlterConfigs, AlterResource, ConfigChange};
use replication::controller::topics::{CreateTopics, NewTopic};
use replication::metadata::record::{ConfigResource, MetadataRecord};
use std::fs;
use std::path::Path;
use storage::ids::{BrokerId, PartitionIndex};
use tempfile::TempDir;

fn any_config() -> ConfigRules {
    ConfigRules {
        validate: Box::new(|_, _, _| Ok(())),
        default_list: |_, _| None,
        default_min_insync_replicas: 1,
    }
}

/// Starts the node 1 on a directory.
fn open(directory: &Path) -> Result<Quorum, QuorumError> {
    let (_not_told_to_stop, stopping) = StopSwitch::new();
    Quorum::open(settings(directory, BrokerId(1), stopping))
}

/// How a node is started that runs alone.
fn settings(directory: &Path, broker_id: BrokerId, stopping: Stopping) -> QuorumSettings {
    let incarnation = uuid::Uuid::new_v4();
    QuorumSettings {
        directory: directory.to_owned(),
        broker_id,
        incarnation,
        known_cluster_id: None,
        introduce: Box::new(move |_| {
            Ok(RegisterBroker {
                broker_id,
                incarnation,
                endpoints: Vec::new(),
                rack: None,
                directory_id: uuid::Uuid::nil(),
                starts_fenced: false,
                was_clean: true,
            })
        }),
        random: Box::new(|| uuid::Uuid::new_v4().as_u128()),
        config_rules: any_config(),
        mutation_burst: Duration::from_secs(11),
        set: None,
        stopping,
    }
}

/// What `kill -9` at this moment would leave behind: the files as they are, while the quorum runs on.
fn as_after_a_kill(directory: &Path) -> TempDir {
    let copy = TempDir::new().expect("a temporary directory");
    for file in fs::read_dir(directory).expect("the directory can be read") {
        let file = file.expect("the directory can be read");
        fs::copy(file.path(), copy.path().join(file.file_name())).expect("the file can be copied");
    }
    copy
}

fn create(name: String) -> ControllerRequest {
    let topics = vec![NewTopic { name, ..NewTopic::default() }];
    let (default_partitions, default_replication_factor) = (2, 1);
    ControllerRequest::CreateTopics(CreateTopics {
        topics,
        validate_only: false,
        default_partitions,
        default_replication_factor,
    })
}

fn set_on_all_brokers(key: &str, value: String) -> ControllerRequest {
    let change = ConfigChange::Replace(BTreeMap::from([(key.to_owned(), value)]));
    let resources = vec![AlterResource { resource: ConfigResource::AllBrokers, change }];
    ControllerRequest::AlterConfigs(AlterConfigs { resources, validate_only: false })
}

fn leader_epoch(image: &MetadataImage, topic: &str) -> i32 {
    image.partition(topic, PartitionIndex(0)).expect("the topic exists").leader_epoch.0
}

fn refusal(directory: &Path) -> String {
    open(directory).expect_err("the directory must be refused").to_string()
}

/// Builds stores for openraft's own tests, each on a directory that lives as long as the store.
struct SuiteBuilder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for SuiteBuilder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), RaftStorageError> {
        let directory = TempDir::new().expect("a temporary directory");
        let failures: FailureReport = watch::channel(None).0;
        let images = watch::channel(Arc::default()).0;
        let (store, state_machine) = open_files(directory.path(), 0, &images, &failures)
            .map_err(|error| types::storage_error(ErrorSubject::Store, ErrorVerb::Read, &error))?;
        Ok((directory, store, state_machine))
    }
}

#[test]
fn the_store_passes_the_suite_of_openraft() {
    Suite::test_all(SuiteBuilder).expect("openraft's suite passes");
}

#[test]
fn an_empty_directory_becomes_a_cluster_with_this_node_registered() {
    let directory = TempDir::new().expect("a temporary directory");
    let quorum = open(&directory.path().join("made/on/the/way")).expect("it starts");
    let image = quorum.image();
    assert_eq!(image.cluster_id().map(str::len), Some(22));
    assert_eq!(image.controller_id(), Some(BrokerId(1)));
    assert_eq!(image.broker(BrokerId(1)).map(|broker| broker.broker_epoch), Some(quorum.broker_epoch()));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = TempDir::new().expect("a temporary directory");
    let quorum = open(directory.path()).expect("it starts");
    for topic in 0..20 {
        quorum.propose(create(format!("topic-{topic}"))).await.expect("the controller answers");
        let survivor = as_after_a_kill(directory.path());
        let restarted = open(survivor.path()).expect("it starts again");
        assert_eq!(restarted.image().topic_count(), topic + 1);
        assert_eq!(restarted.image().cluster_id(), quorum.image().cluster_id());
    }
}

#[tokio::test]
async fn every_start_takes_a_new_broker_epoch_and_new_leader_epochs() {
    let directory = TempDir::new().expect("a temporary directory");
    let first = open(directory.path()).expect("it starts");
    first.propose(create("a".to_owned())).await.expect("the controller answers");
    assert_eq!(leader_epoch(&first.image(), "a"), 0);
    first.shutdown();
    let second = open(directory.path()).expect("it starts again");
    assert!(second.broker_epoch() > first.broker_epoch());
    assert_eq!(leader_epoch(&second.image(), "a"), 1);
}

#[tokio::test]
async fn requests_that_wait_share_entries_of_the_log() {
    let directory = TempDir::new().expect("a temporary directory");
    let quorum = open(directory.path()).expect("it starts");
    let before = quorum.image().offset();
    for thousand in 0..10 {
        let names = (0..1000).map(|topic| format!("topic-{thousand}-{topic}"));
        let answers = futures_util::future::join_all(names.map(|name| quorum.propose(create(name)))).await;
        assert!(answers.iter().all(Result::is_ok));
    }
    assert_eq!(quorum.image().topic_count(), 10_000);
    assert!(quorum.image().offset() - before < 200, "{} entries", quorum.image().offset() - before);
    let survivor = as_after_a_kill(directory.path());
    assert_eq!(open(survivor.path()).expect("it starts again").image().topic_count(), 10_000);
}

#[tokio::test]
async fn a_long_journal_is_cut_by_a_snapshot_that_holds_the_same() {
    let directory = TempDir::new().expect("a temporary directory");
    let quorum = open(directory.path()).expect("it starts");
    quorum.propose(create("a".to_owned())).await.expect("the controller answers");
    let journal_bytes = || fs::metadata(directory.path().join("journal")).expect("it exists").len();
    let (mut longest, mut proposals) = (0, 0);
    while journal_bytes() >= longest {
        longest = journal_bytes();
        proposals += 1;
        assert!(proposals < 2000, "the journal was not cut at {longest} bytes");
        let value = format!("{proposals}{}", "x".repeat(60_000));
        quorum.propose(set_on_all_brokers("key", value)).await.expect("the controller answers");
    }
    assert!(directory.path().join("snapshot").exists());
    let survivor = as_after_a_kill(directory.path());
    let restarted = open(survivor.path()).expect("it starts again");
    let configs = |quorum: &Quorum| quorum.image().configs_of(&ConfigResource::AllBrokers).clone();
    assert_eq!(configs(&restarted), configs(&quorum));
    assert_eq!(leader_epoch(&restarted.image(), "a"), 1);

    for (lost, kept) in [("snapshot", "journal"), ("journal", "snapshot")] {
        let survivor = as_after_a_kill(directory.path());
        fs::remove_file(survivor.path().join(lost)).expect("it exists");
        let sentence = refusal(survivor.path());
        assert!(sentence.contains(lost) && sentence.contains(kept), "{sentence}");
    }
    let survivor = as_after_a_kill(directory.path());
    let path = survivor.path().join("snapshot");
    let mut content = fs::read(&path).expect("it can be read");
    *content.last_mut().expect("it is not empty") ^= 1;
    fs::write(&path, content).expect("it can be written");
    let sentence = refusal(survivor.path());
    assert!(sentence.contains("snapshot") && sentence.contains("checksum"), "{sentence}");
}

#[tokio::test]
async fn a_batch_that_is_logged_in_another_term_is_ignored() {
    let (_directory, _store, mut state_machine) = SuiteBuilder.build().await.expect("the store opens");
    let records: Arc<[MetadataRecord]> = vec![MetadataRecord::ClusterId { id: "x".to_owned() }].into();
    let entry = |index, decided_in| Entry {
        log_id: log_id(2, index),
        payload: EntryPayload::Normal(MetadataBatch { term: decided_in, records: Arc::clone(&records) }),
    };
    let applied = state_machine.apply([entry(0, 1), entry(1, 2)]).await.expect("it applies");
    assert_eq!(applied, [Applied::Ignored, Applied::Accepted]);
}

#[tokio::test]
async fn after_a_shutdown_requests_are_refused_and_the_failure_is_told() {
    let directory = TempDir::new().expect("a temporary directory");
    let quorum = open(directory.path()).expect("it starts");
    quorum.shutdown();
    assert_eq!(quorum.propose(ControllerRequest::FormCluster).await, Err(ProposeError::Stopped));
    assert!(matches!(quorum.failed().await, QuorumFailure::Stopped));
}

#[test]
fn a_journal_that_cannot_be_used_is_refused_in_one_sentence() {
    let directory = TempDir::new().expect("a temporary directory");
    open(directory.path()).expect("it starts").shutdown();
    let path = directory.path().join("journal");
    let original = fs::read(&path).expect("it can be read");
    let refusal_with = |at: usize, bytes: &[u8]| {
        let mut content = original.clone();
        content[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(&path, content).expect("it can be written");
        refusal(directory.path())
    };
    assert!(refusal_with(0, b"KAFKA").contains("is not a file of Ottla's metadata quorum"));
    assert!(refusal_with(8, &[0, 0, 0, 9]).contains("format version 9"));
    assert!(refusal_with(12, &[1, 2, 3, 4]).contains("checksum does not match"));
    assert!(refusal_with(70, &[0xff]).contains("is damaged at byte 64, and intact entries follow at byte"));
    fs::write(&path, &original).expect("it can be written");
    assert!(open(directory.path()).is_ok());
}

#[test]
fn a_first_start_that_was_cut_off_anywhere_is_begun_again() {
    // The start goes on from whichever frames reached the disk, also from a journal that was never finished.
    let directory = TempDir::new().expect("a temporary directory");
    open(directory.path()).expect("it starts").shutdown();
    let path = directory.path().join("journal");
    let original = fs::read(&path).expect("it can be read");
    let mut end = 64;
    let mut frames = 0;
    while original[end..end + 4] != [0; 4] {
        let mut content = original.clone();
        content[end..].fill(0);
        let survivor = TempDir::new().expect("a temporary directory");
        fs::write(survivor.path().join("journal"), content).expect("it can be written");
        fs::write(survivor.path().join("journal.new"), b"half a jour").expect("it can be written");
        let quorum = open(survivor.path()).expect("it starts again");
        assert!(quorum.image().cluster_id().is_some() && quorum.image().broker(BrokerId(1)).is_some());
        let length = original[end..end + 4].try_into().map(u32::from_be_bytes).expect("four bytes");
        end += 8 + usize::try_from(length).expect("it is short");
        frames += 1;
    }
    assert!(frames >= 5, "the first start wrote {frames} frames");
    let survivor = TempDir::new().expect("a temporary directory");
    fs::write(survivor.path().join("journal.new"), b"half a jour").expect("it can be written");
    assert!(open(survivor.path()).is_ok());
}

mod set;
