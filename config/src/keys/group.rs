//! The settings of groups. Those of consumer groups are honoured; those of share groups and streams groups are known, since
//! DescribeConfigs names every one, and take their defaults alone. Source: KIP-848, GroupConfig.java.

use super::{Key, Scope, Support, Synonym};
use crate::value::Rule::{AtLeast, OneOf};
use crate::value::ValueType::{self, Boolean, Int, String};

const SHARE: &str = "share groups are not served yet";
const STREAMS: &str = "streams groups are not served yet";

const fn group(name: &'static str, value_type: ValueType, default: &'static str, doc: &'static str) -> Key {
    let mut key = Key::topic(name, value_type, default, doc);
    key.scope = Scope::Group;
    key
}

const fn of(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

/// A key of a kind of group that is not served.
const fn refused(name: &'static str, value_type: ValueType, default: &'static str, why: &'static str) -> Key {
    group(name, value_type, default, why).support(Support::Refused { why })
}

pub(super) static KEYS: &[Key] = &[
    group(
        "consumer.assignment.interval.ms",
        Int,
        "1000",
        "The shortest time between two computations of the group's assignment.",
    )
    .rule(AtLeast(0))
    .synonyms(&[of("group.consumer.assignment.interval.ms")]),
    group(
        "consumer.heartbeat.interval.ms",
        Int,
        "5000",
        "How often a member is to send a heartbeat; the members are told.",
    )
    .rule(AtLeast(1))
    .synonyms(&[of("group.consumer.heartbeat.interval.ms")]),
    group(
        "consumer.session.timeout.ms",
        Int,
        "45000",
        "A member that sends no heartbeat for this long is taken out of the group.",
    )
    .rule(AtLeast(1))
    .synonyms(&[of("group.consumer.session.timeout.ms")]),
    refused("share.assignment.interval.ms", Int, "1000", SHARE)
        .rule(AtLeast(0))
        .synonyms(&[of("group.share.assignment.interval.ms")]),
    refused("share.auto.offset.reset", String, "latest", SHARE),
    refused("share.delivery.count.limit", Int, "5", SHARE)
        .rule(AtLeast(2))
        .synonyms(&[of("group.share.delivery.count.limit")]),
    refused("share.heartbeat.interval.ms", Int, "5000", SHARE)
        .rule(AtLeast(1))
        .synonyms(&[of("group.share.heartbeat.interval.ms")]),
    refused("share.isolation.level", String, "read_uncommitted", SHARE)
        .rule(OneOf(&["read_committed", "read_uncommitted"])),
    refused("share.partition.max.record.locks", Int, "2000", SHARE)
        .rule(AtLeast(100))
        .synonyms(&[of("group.share.partition.max.record.locks")]),
    refused("share.record.lock.duration.ms", Int, "30000", SHARE)
        .rule(AtLeast(1000))
        .synonyms(&[of("group.share.record.lock.duration.ms")]),
    refused("share.renew.acknowledge.enable", Boolean, "true", SHARE),
    refused("share.session.timeout.ms", Int, "45000", SHARE)
        .rule(AtLeast(1))
        .synonyms(&[of("group.share.session.timeout.ms")]),
    refused("streams.assignment.interval.ms", Int, "1000", STREAMS)
        .rule(AtLeast(0))
        .synonyms(&[of("group.streams.assignment.interval.ms")]),
    refused("streams.heartbeat.interval.ms", Int, "5000", STREAMS)
        .rule(AtLeast(1))
        .synonyms(&[of("group.streams.heartbeat.interval.ms")]),
    refused("streams.initial.rebalance.delay.ms", Int, "3000", STREAMS)
        .rule(AtLeast(0))
        .synonyms(&[of("group.streams.initial.rebalance.delay.ms")]),
    refused("streams.num.standby.replicas", Int, "0", STREAMS)
        .rule(AtLeast(0))
        .synonyms(&[of("group.streams.num.standby.replicas")]),
    refused("streams.session.timeout.ms", Int, "45000", STREAMS)
        .rule(AtLeast(1))
        .synonyms(&[of("group.streams.session.timeout.ms")]),
];
