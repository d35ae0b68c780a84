use std::collections::BTreeSet;

use super::*;
use crate::broker::BrokerLayers;
use crate::topic::TopicConfig;

#[test]
fn every_default_is_valid_and_accepted() {
    for key in all() {
        for default in [key.default, key.default_in_set].into_iter().flatten() {
            let value = key.read(default).unwrap_or_else(|error| panic!("{}: {error}", key.name));
            assert_eq!(key.read(&value.to_string()), Ok(value), "{}", key.name);
        }
    }
}

#[test]
fn name_is_there_once_in_each_namespace() {
    for names in [
        of_broker().map(|key| key.name).collect::<Vec<_>>(),
        of_topic().map(|key| key.name).collect(),
        of_group().map(|key| key.name).collect(),
    ] {
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
    assert!(
        of_topic().all(|key| key.scope == Scope::Topic) && of_group().all(|key| key.scope == Scope::Group)
    );
}

#[test]
fn every_honoured_key_has_a_sentence() {
    for key in all().filter(|key| key.support == Support::Honoured) {
        assert!(key.doc.ends_with('.'), "{}", key.name);
    }
}

#[test]
fn every_reason_fits_behind_a_colon() {
    let reasons = all().filter_map(|key| match key.support {
        Support::Honoured => None,
        Support::Inert { why } | Support::Refused { why } => Some(why),
    });
    for why in reasons {
        assert!(!why.ends_with('.') && !why.is_empty(), "{why}");
    }
}

#[test]
fn synonym_is_a_key_of_the_broker_and_of_the_topics_type() {
    for topic in of_topic().chain(of_group()) {
        for synonym in topic.synonyms {
            let key = broker_key(synonym.name).unwrap_or_else(|| panic!("{}", synonym.name));
            assert!(key.value_type == topic.value_type || synonym.factor > 1, "{}", key.name);
            assert!(synonym.factor > 1 || key.rule == topic.rule || key.rule == Rule::Any, "{}", key.name);
        }
    }
}

#[test]
fn default_of_a_topic_is_that_of_the_broker() {
    let nothing_set = BrokerLayers::default();
    for key in of_topic().chain(of_group()) {
        assert_eq!(Some(nothing_set.topic_default(key).as_str()), key.default, "{}", key.name);
    }
}

#[test]
fn typed_struct_has_the_keys_that_are_honoured_and_their_defaults() {
    let values = TopicConfig::default().values();
    for key in of_topic() {
        let value = values.iter().find(|(name, _)| *name == key.name).map(|(_, value)| value.to_string());
        match key.support {
            Support::Honoured => assert_eq!(value.as_deref(), key.default, "{}", key.name),
            Support::Inert { .. } | Support::Refused { .. } => {
                assert!(value.is_none() || value.as_deref() == key.default, "{}", key.name);
            }
        }
    }
    assert!(values.iter().all(|(name, _)| topic_key(name).is_some()));
}

#[test]
fn keys_that_mean_the_same_are_in_kafkas_order() {
    let retention = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
    for name in retention {
        assert_eq!(broker_synonyms(name), retention);
    }
    assert_eq!(broker_synonyms("log.roll.hours"), ["log.roll.ms", "log.roll.hours"]);
    assert_eq!(
        broker_synonyms("log.flush.interval.ms"),
        ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"]
    );
    assert_eq!(broker_synonyms("log.flush.scheduler.interval.ms"), ["log.flush.scheduler.interval.ms"]);
    assert_eq!(broker_synonyms("num.partitions"), ["num.partitions"]);
}

#[test]
fn refused_key_accepts_its_default_in_any_spelling() {
    let key = topic_key("remote.storage.enable").unwrap();
    assert!(key.read(" False ").is_ok());
    assert_eq!(
        key.read("true").unwrap_err().to_string(),
        "remote.storage.enable=true is not supported: there is no tiered storage; records stay in the data directory"
    );
}

#[test]
fn password_is_not_repeated_in_an_error() {
    let key = broker_key("ssl.key.password").unwrap();
    assert!(key.value_type.is_sensitive());
    let refused = Key { support: Support::Refused { why: "no" }, ..*key };
    assert_eq!(refused.read("secret").unwrap_err().to_string(), "ssl.key.password=**** is not supported: no");
}

/// What Apache Kafka 4.3.1 lets clients change while it runs, but for [`AT_START`], metric.reporters and the keys that begin
/// with ssl., sasl. and principal. Source: `DynamicConfig.Broker.configKeys`.
const DYNAMIC_IN_KAFKA: &str = "\
    background.threads compression.gzip.level compression.lz4.level compression.type compression.zstd.level \
    config.providers cordoned.log.dirs follower.fetch.last.tiered.offset.enable \
    follower.replication.throttled.rate group.consumer.assignment.interval.ms \
    group.coordinator.cached.buffer.max.bytes group.share.assignment.interval.ms \
    group.streams.assignment.interval.ms leader.replication.throttled.rate log.cleaner.backoff.ms \
    log.cleaner.dedupe.buffer.size log.cleaner.delete.retention.ms log.cleaner.io.buffer.load.factor \
    log.cleaner.io.buffer.size log.cleaner.io.max.bytes.per.second log.cleaner.max.compaction.lag.ms \
    log.cleaner.min.cleanable.ratio log.cleaner.min.compaction.lag.ms log.cleaner.threads log.cleanup.policy \
    log.flush.interval.messages log.flush.interval.ms log.index.interval.bytes log.index.size.max.bytes \
    log.local.retention.bytes log.local.retention.ms log.message.timestamp.after.max.ms \
    log.message.timestamp.before.max.ms log.message.timestamp.type log.preallocate log.retention.bytes \
    log.retention.ms log.roll.jitter.ms log.roll.ms log.segment.bytes log.segment.delete.delay.ms \
    max.connection.creation.rate max.connections max.connections.per.ip max.connections.per.ip.overrides \
    message.max.bytes min.insync.replicas num.io.threads num.network.threads num.recovery.threads.per.data.dir \
    num.replica.fetchers producer.id.expiration.ms remote.fetch.max.wait.ms \
    remote.list.offsets.request.timeout.ms remote.log.index.file.cache.total.size.bytes \
    remote.log.manager.copier.thread.pool.size remote.log.manager.copy.max.bytes.per.second \
    remote.log.manager.expiration.thread.pool.size remote.log.manager.fetch.max.bytes.per.second \
    remote.log.manager.follower.thread.pool.size remote.log.reader.threads \
    replica.alter.log.dirs.io.max.bytes.per.second share.coordinator.cached.buffer.max.bytes \
    transaction.partition.verification.enable unclean.leader.election.enable";

/// What it lets clients change beside them.
const AT_START: [&str; 2] = ["listener.security.protocol.map", "listeners"];

#[test]
fn clients_may_change_what_they_may_in_kafka() {
    let of =
        |scope| of_broker().filter(|key| key.scope == scope).map(|key| key.name).collect::<BTreeSet<_>>();
    assert_eq!(of(Scope::BrokerDynamic), DYNAMIC_IN_KAFKA.split(' ').collect());
    assert_eq!(of(Scope::BrokerAtStart), AT_START.into());
}
