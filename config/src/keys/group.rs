//! The settings of groups, of which none is honoured until groups are served. Source: KIP-848, GroupConfig.java.

use super::{Key, Scope, Support};
use crate::value::Rule::{AtLeast, OneOf};
use crate::value::ValueType::{self, Boolean, Int, String};

const NOT_SERVED: &str = "groups are not served yet";

const fn group(name: &'static str, value_type: ValueType, default: &'static str) -> Key {
    let mut key = Key::topic(name, value_type, default, NOT_SERVED);
    key.scope = Scope::Group;
    key.support(Support::Refused { why: NOT_SERVED })
}

pub(super) static KEYS: &[Key] = &[
    group("consumer.assignment.interval.ms", Int, "1000").rule(AtLeast(0)),
    group("consumer.heartbeat.interval.ms", Int, "5000").rule(AtLeast(1)),
    group("consumer.session.timeout.ms", Int, "45000").rule(AtLeast(1)),
    group("share.assignment.interval.ms", Int, "1000").rule(AtLeast(0)),
    group("share.auto.offset.reset", String, "latest"),
    group("share.delivery.count.limit", Int, "5").rule(AtLeast(2)),
    group("share.heartbeat.interval.ms", Int, "5000").rule(AtLeast(1)),
    group("share.isolation.level", String, "read_uncommitted")
        .rule(OneOf(&["read_committed", "read_uncommitted"])),
    group("share.partition.max.record.locks", Int, "2000").rule(AtLeast(100)),
    group("share.record.lock.duration.ms", Int, "30000").rule(AtLeast(1000)),
    group("share.renew.acknowledge.enable", Boolean, "true"),
    group("share.session.timeout.ms", Int, "45000").rule(AtLeast(1)),
    group("streams.assignment.interval.ms", Int, "1000").rule(AtLeast(0)),
    group("streams.heartbeat.interval.ms", Int, "5000").rule(AtLeast(1)),
    group("streams.initial.rebalance.delay.ms", Int, "3000").rule(AtLeast(0)),
    group("streams.num.standby.replicas", Int, "0").rule(AtLeast(0)),
    group("streams.session.timeout.ms", Int, "45000").rule(AtLeast(1)),
];
