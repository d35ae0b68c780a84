//! Files as Apache Kafka's users have them.

use super::*;
use crate::broker::Listener;

/// What a file of Apache Kafka 4.3 for one combined broker and controller sets.
const KRAFT: &str = "\
# The role of this server
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
#log.flush.interval.messages=10000
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn file_of_kafka_4_is_accepted_as_it_is() {
    for name in ["server.properties", "server.conf"] {
        let loaded = load_file(name, KRAFT).unwrap();
        assert_eq!(loaded.broker.listeners, [Listener::new("PLAINTEXT", "", 9092)]);
        assert_eq!(loaded.broker.advertised_listeners, [Listener::new("PLAINTEXT", "localhost", 9092)]);
        assert_eq!(loaded.broker.log_dir, PathBuf::from("/tmp/kraft-combined-logs"));
        assert_eq!(loaded.broker.num_recovery_threads_per_data_dir, 1);
    }
}

#[test]
fn what_changes_nothing_is_named_in_one_warning() {
    let warnings = load_file("server.properties", KRAFT).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "settings that change nothing here: controller.listener.names, controller.quorum.bootstrap.servers, \
             process.roles (the node keeps its metadata by itself, in the data directory, without a controller to \
             configure); inter.broker.listener.name (the nodes of ottla.replica.set copy from \
             each other without tuning, over ottla.peer.listener); num.io.threads, \
             num.network.threads (the broker has no such pool of threads to size); \
             share.coordinator.state.topic.min.isr, share.coordinator.state.topic.replication.factor (share groups are \
             not served yet); \
             transaction.state.log.min.isr, transaction.state.log.replication.factor (transactions are not served yet)",
            "listener CONTROLLER://:9093 is left out: it is for controllers, and this node needs none",
        ]
    );
}

#[test]
fn file_of_the_zookeeper_age_is_accepted_with_one_warning() {
    let text = "broker.id=0\nlog.dirs=/data\nzookeeper.connect=localhost:2181\n\
                zookeeper.connection.timeout.ms=18000\ninter.broker.protocol.version=2.8";
    let loaded = load_file("server.properties", text).unwrap();
    assert_eq!(loaded.broker.node_id, 0);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(!loaded.explicit.contains_key("zookeeper.connect"));
}

#[test]
fn file_of_one_node_among_several_is_refused() {
    let text = KRAFT.replace("bootstrap.servers=localhost:9093", "voters=1@a:9093,2@b:9093,3@c:9093");
    let sentences = sentences(load_file("server.properties", &text));
    assert_eq!(sentences.len(), 1);
    assert!(sentences.concat().contains("names 3 nodes"), "{sentences:?}");
}

#[test]
fn file_of_a_controller_is_refused() {
    let text = "process.roles=controller\nnode.id=1\nlisteners=CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER";
    let sentences = sentences(load_file("controller.properties", text));
    assert!(sentences.iter().any(|sentence| sentence.contains("makes no broker")), "{sentences:?}");
}

#[test]
fn sample_file_is_the_default() {
    let text = include_str!("../../../single-node.toml");
    let loaded = load_file("single-node.toml", text).unwrap();
    assert_eq!(loaded.broker, BrokerConfig::default());
    assert!(loaded.warnings.is_empty());
}

#[test]
fn every_example_in_the_sample_file_is_accepted() {
    let text = include_str!("../../../single-node.toml");
    let examples: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert!(examples.len() >= 2);
    for example in examples {
        load_file("single-node.toml", example).unwrap();
    }
}

#[test]
fn samples_of_a_replica_set_fit_each_other_on_one_machine() {
    let texts = [
        include_str!("../../../replica-set/node-1.toml"),
        include_str!("../../../replica-set/node-2.toml"),
        include_str!("../../../replica-set/node-3.toml"),
    ];
    let mut taken = std::collections::BTreeSet::new();
    for (id, text) in (1..).zip(texts) {
        let loaded = load_file(&format!("node-{id}.toml"), text).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let broker = loaded.broker;
        assert_eq!(broker.node_id, id);
        let set = broker.replica_set.unwrap();
        assert_eq!(set.nodes.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(set.nodes.get(&id), Some(&set.listener));
        let ports =
            [set.listener.port, broker.listeners[0].endpoint.port, broker.http_listener.unwrap().port];
        assert!(ports.into_iter().all(|port| taken.insert(port.to_string())), "{taken:?}");
        assert!(taken.insert(broker.log_dir.display().to_string()), "{taken:?}");
    }
}

#[test]
fn examples_in_the_samples_of_a_replica_set_are_valid() {
    let text = include_str!("../../../replica-set/node-2.toml");
    let examples: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()) && line.contains(" = "))
        .collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        load_file("node-2.toml", &format!("{}\n{example}", text.replace("listeners = ", "#"))).map_or_else(
            // One file of TLS asks for the others.
            |errors| assert!(errors.to_string().contains("TLS between nodes needs all of"), "{errors}"),
            |_| assert!(!example.contains("tls"), "{example}"),
        );
    }
}
