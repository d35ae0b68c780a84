//! Each behaviour of a replica set's keys, and each sentence about a mistake in them.

use std::path::PathBuf;

use super::{PeerSecurity, PeerTlsFiles};
use crate::broker::{Endpoint, ReplicaSelector, ReplicaSet};
use crate::parse::{ConfigErrors, Loaded, Sources, load};

const SET: &str = "ottla.replica.set=1@127.0.0.1:9192,2@localhost:9193,3@[::1]:9194";

fn load_set(set: &[&str]) -> Result<Loaded, ConfigErrors> {
    load(&Sources { set: set.iter().map(|&set| set.to_owned()).collect(), ..Sources::default() })
}

/// The one sentence that is wrong with these settings.
fn sentence(set: &[&str]) -> String {
    let sentences = load_set(set).unwrap_err().to_string();
    assert_eq!(sentences.lines().count(), 1, "{sentences}");
    sentences
}

fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint { host: host.to_owned(), port }
}

#[test]
fn set_is_read_and_its_node_listens_where_the_others_look() {
    let set = load_set(&["node.id=2", SET]).unwrap().broker.replica_set.unwrap();
    let nodes =
        [(1, endpoint("127.0.0.1", 9192)), (2, endpoint("localhost", 9193)), (3, endpoint("::1", 9194))];
    let expected = ReplicaSet {
        nodes: nodes.into(),
        listener: endpoint("localhost", 9193),
        security: PeerSecurity::Plaintext,
    };
    assert_eq!(set, expected);
}

#[test]
fn node_alone_is_in_no_set() {
    assert_eq!(load_set(&["ottla.replica.set="]).unwrap().broker.replica_set, None);
}

#[test]
fn topics_of_a_set_have_three_replicas_of_which_two_must_be_in_sync() {
    let broker = load_set(&["node.id=1", SET]).unwrap().broker;
    assert_eq!((broker.default_replication_factor, broker.topic_defaults.min_insync_replicas), (3, 2));
    assert_eq!(broker.offsets_topic.offsets_topic_replication_factor, 3);
    let alone = load_set(&[]).unwrap().broker;
    assert_eq!((alone.default_replication_factor, alone.topic_defaults.min_insync_replicas), (1, 1));
    let told = load_set(&["node.id=1", SET, "default.replication.factor=2", "min.insync.replicas=1"]);
    let broker = told.unwrap().broker;
    assert_eq!((broker.default_replication_factor, broker.topic_defaults.min_insync_replicas), (2, 1));
}

#[test]
fn clients_are_shown_the_defaults_of_a_set_as_defaults() {
    let layers = load_set(&["node.id=1", SET]).unwrap().layers();
    let shown = crate::describe::topic(&layers, &Default::default());
    let config = shown.iter().find(|config| config.name == "min.insync.replicas").unwrap();
    assert_eq!(config.value.as_deref(), Some("2"));
    assert_eq!(config.source, crate::describe::ConfigSource::Default);
}

#[test]
fn mistake_in_a_set_is_one_sentence() {
    for (set, expected) in [
        ("1@127.0.0.1:1,localhost:2", "localhost:2 is not of the form ID@HOST:PORT, such as 1@10.0.0.1:9192"),
        (
            "1@127.0.0.1:1,b@localhost:2",
            "b@localhost:2 is not of the form ID@HOST:PORT, such as 1@10.0.0.1:9192",
        ),
        (
            "1@127.0.0.1:1,2@localhost:0",
            "2@localhost:0 is not of the form ID@HOST:PORT, such as 1@10.0.0.1:9192",
        ),
        (
            "1@127.0.0.1:1,-2@localhost:2",
            "-2@localhost:2 is not of the form ID@HOST:PORT, such as 1@10.0.0.1:9192",
        ),
        ("1@127.0.0.1:1,", "there is a comma with no node beside it; leave it out"),
        ("1@127.0.0.1:1,2@:2", "2@:2 is not of the form ID@HOST:PORT, such as 1@10.0.0.1:9192"),
        ("1@127.0.0.1:1,1@127.0.0.1:2", "node 1 is there twice; every node needs an id of its own"),
        ("1@127.0.0.1:1,2@127.0.0.1:1", "127.0.0.1:1 is there twice; every node needs an address of its own"),
        (
            "2@127.0.0.1:1,3@127.0.0.1:2",
            "this node is node 1 (node.id), which is not among 2, 3; correct one of the two",
        ),
    ] {
        let setting = format!("ottla.replica.set={set}");
        assert_eq!(sentence(&["node.id=1", &setting]), format!("--set: {setting}: {expected}"));
    }
    assert_eq!(
        sentence(&[SET]),
        format!("--set: {SET}: set node.id to say which of them this node is: 1, 2, 3")
    );
}

#[test]
fn plain_text_leaves_the_machine_only_when_that_is_said_in_so_many_words() {
    const WIDE: &str = "ottla.replica.set=1@10.0.0.1:9192,2@10.0.0.2:9192,3@10.0.0.3:9192";
    let refused = sentence(&["node.id=1", WIDE]);
    assert!(
        refused.starts_with("--set: ottla.replica.set: 10.0.0.1:9192 is not on this machine alone"),
        "{refused}"
    );
    let refused = sentence(&["node.id=1", SET, "ottla.peer.listener=:9192"]);
    assert!(
        refused.starts_with("--set: ottla.peer.listener: :9192 is not on this machine alone"),
        "{refused}"
    );
    let allowed = load_set(&["node.id=1", WIDE, "ottla.peer.allow.plaintext=true"]).unwrap();
    assert_eq!(allowed.broker.replica_set.unwrap().security, PeerSecurity::Plaintext);
    assert_eq!(allowed.warnings.len(), 1, "{:?}", allowed.warnings);
    assert!(allowed.warnings[0].starts_with("listeners lets in clients on this machine only"));
}

#[test]
fn tls_takes_all_of_its_three_files() {
    let tls = |set: &[&str]| {
        let mut settings =
            vec!["node.id=1", "ottla.replica.set=1@a:1,2@b:1,3@c:1", "listeners=PLAINTEXT://:9092"];
        settings.extend(set);
        load_set(&settings).map(|loaded| loaded.broker.replica_set.unwrap().security)
    };
    let files = ["ottla.peer.tls.certificate=c.pem", "ottla.peer.tls.key=k.pem", "ottla.peer.tls.ca=ca.pem"];
    let [certificate, key, ca] = ["c.pem", "k.pem", "ca.pem"].map(PathBuf::from);
    assert_eq!(tls(&files), Ok(PeerSecurity::Tls(PeerTlsFiles { certificate, key, ca })));
    assert_eq!(
        tls(&files[..2]).unwrap_err().to_string(),
        "ottla.peer.tls.ca is not set, and TLS between nodes needs all of ottla.peer.tls.certificate, .key and .ca"
    );
}

#[test]
fn timers_of_a_set_must_fit_each_other() {
    assert_eq!(
        sentence(&["node.id=1", SET, "broker.session.timeout.ms=300"]),
        "broker.heartbeat.interval.ms must be less than broker.session.timeout.ms; change one of them"
    );
    assert_eq!(
        sentence(&["node.id=1", SET, "replica.fetch.wait.max.ms=3000"]),
        "--set: replica.fetch.wait.max.ms must be less than or equal to replica.lag.time.max.ms; change one of them"
    );
    assert!(
        load_set(&["replica.fetch.wait.max.ms=3000"]).is_ok(),
        "a file of Kafka's for a node that runs alone"
    );
}

#[test]
fn selector_is_one_of_kafkas_two() {
    let selector = |class: &str| {
        let set = format!("replica.selector.class=org.apache.kafka.common.replica.{class}");
        load_set(&[&set]).map(|loaded| loaded.broker.replication.replica_selector_class)
    };
    assert_eq!(selector("LeaderSelector"), Ok(ReplicaSelector::Leader));
    assert_eq!(selector("RackAwareReplicaSelector"), Ok(ReplicaSelector::RackAware));
    assert!(selector("Mine").is_err());
}

#[test]
fn node_alone_is_told_what_it_has_no_use_for() {
    let loaded = load_set(&["ottla.peer.listener=:9192"]).unwrap();
    let expected = "without ottla.replica.set this node runs alone, and ottla.peer.listener changes nothing";
    assert_eq!(loaded.warnings, [expected]);
}
