//! What can be wrong with one setting.

use thiserror::Error;

use crate::alter::ListOperation;
use crate::broker::{AddressProblem, Endpoint, ReplicaSetProblem};
use crate::value::InvalidReason;

/// One setting that is not accepted. Where Apache Kafka refuses it too, the sentence is Kafka's: tools show and match it.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ConfigError {
    /// No topic has such a key.
    #[error("Unknown topic config name: {name}")]
    UnknownTopicKey {
        /// The name as given.
        name: String,
    },
    /// No group has such a key.
    #[error("Unknown group config name: {name}")]
    UnknownGroupKey {
        /// The name as given.
        name: String,
    },
    /// No broker has such a key.
    #[error("Unknown broker config name: {name}")]
    UnknownBrokerKey {
        /// The name as given.
        name: String,
    },
    /// Not of the key's type, or outside of what is valid.
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    InvalidValue {
        /// The key.
        name: String,
        /// The value as given; stars where it is never shown.
        value: String,
        /// What is wrong with it.
        reason: InvalidReason,
    },
    /// Not an address, or not one that fits the others.
    #[error("Invalid value {value} for configuration {name}: {problem}")]
    InvalidAddress {
        /// The key.
        name: &'static str,
        /// The value as given.
        value: String,
        /// What is wrong with it.
        problem: AddressProblem,
    },
    /// Valid for Apache Kafka, but this broker would not do what it says.
    #[error("{name}={value} is not supported: {why}")]
    NotSupported {
        /// The key.
        name: String,
        /// The value as given; stars where it is never shown.
        value: String,
        /// Why, and what to do instead.
        why: &'static str,
    },
    /// A record of a compacted topic would have to be compacted before it may be.
    #[error(
        "conflict topic config setting min.compaction.lag.ms ({min_ms}) > max.compaction.lag.ms ({max_ms})"
    )]
    CompactionLags {
        /// `min.compaction.lag.ms`.
        min_ms: i64,
        /// `max.compaction.lag.ms`.
        max_ms: i64,
    },
    /// Two settings of groups that do not fit each other.
    #[error("{name} must be {relation} {other}")]
    Unfitting {
        /// The key.
        name: &'static str,
        /// How it must stand to the other, in Kafka's words.
        relation: &'static str,
        /// The other key.
        other: &'static str,
    },
    /// The classic protocol was switched off.
    #[error("Disabling the 'classic' protocol is not supported.")]
    NoClassicProtocol,
    /// A broker's default retention of zero would delete records as they come.
    #[error("log.retention.ms must be unlimited (-1) or, greater than or equal to 1")]
    RetentionOfNothing,
    /// `broker.id` and `node.id` differ.
    #[error("You must set `node.id` to the same value as `broker.id`.")]
    TwoNodeIds,
    /// No data directory is named where one should be.
    #[error("{name} is empty: name a directory")]
    NoDirectory {
        /// `log.dirs` or `log.dir`.
        name: &'static str,
    },
    /// There is more than one data directory.
    #[error("log.dirs={value} names {count} directories: exactly one is supported, for now")]
    NotOneDirectory {
        /// The value of `log.dirs` or `log.dir`.
        value: String,
        /// How many it names.
        count: usize,
    },
    /// The file is one of a node that is no broker.
    #[error("process.roles={value} makes no broker: this program is always one, so use a broker's file")]
    NoBrokerRole {
        /// The value as given.
        value: String,
    },
    /// The file is one of several nodes, and this one would run alone.
    #[error(
        "{name} names {count} nodes: a replica set is named in ottla.replica.set instead; set that, or remove {name} to run \
         this node alone"
    )]
    SeveralNodes {
        /// The key.
        name: &'static str,
        /// How many nodes it names.
        count: usize,
    },
    /// The nodes of the replica set are not what they must be.
    #[error("ottla.replica.set={value}: {problem}")]
    ReplicaSet {
        /// The value as given.
        value: String,
        /// What is wrong with it.
        problem: ReplicaSetProblem,
    },
    /// Nodes would talk in plain text over a network, and nobody said that they may.
    #[error(
        "{name}: {address} is not on this machine alone, and nodes would talk in plain text there; set \
         ottla.peer.tls.certificate, ottla.peer.tls.key and ottla.peer.tls.ca (`ottla cluster certificates` makes the \
         files), or ottla.peer.allow.plaintext=true on a network where nobody else is"
    )]
    PlaintextBetweenMachines {
        /// The key that names the address.
        name: &'static str,
        /// The address.
        address: Endpoint,
    },
    /// Some of the three files for TLS are there, and some are not.
    #[error("{name} is not set, and TLS between nodes needs all of ottla.peer.tls.certificate, .key and .ca")]
    IncompletePeerTls {
        /// The key that is not set.
        name: &'static str,
    },
    /// A client may not change these keys while the broker runs.
    #[error("Cannot update these configs dynamically: [{names}]")]
    NotDynamic {
        /// The keys, with commas between them.
        names: String,
    },
    /// A client may not change the key while the broker runs, though it may that of Apache Kafka.
    #[error("{name} cannot change while a node runs: give it to the node at its start")]
    AtStart {
        /// The key.
        name: String,
    },
    /// The keys of a broker that are none of the table are larger together than [`crate::alter::CUSTOM_BYTES_MAX`].
    #[error(
        "The settings of a broker that are none of its keys are larger than {} bytes in all, which is the most that is kept.",
        crate::alter::CUSTOM_BYTES_MAX
    )]
    TooManyCustomKeys,
    /// A number of threads that is too far from the current one; Kafka tells the class of its error with it.
    #[error(
        "Invalid value org.apache.kafka.common.config.ConfigException: {} for configuration Invalid dynamic configuration",
        .problem.told(*.threads, *.current, *.wanted)
    )]
    Threads {
        /// Whose.
        threads: Threads,
        /// How it is too far.
        problem: ThreadsProblem,
        /// How many there are.
        current: i32,
        /// How many a client wants.
        wanted: i32,
    },
    /// APPEND or SUBTRACT on a key that is no list.
    #[error("Can't {operation} to key {name} because its type is not LIST.")]
    NotAList {
        /// The key.
        name: String,
        /// What was asked for.
        operation: ListOperation,
    },
}

/// Threads whose number changes while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Those of the pool whose size that key is.
    Pool(&'static str),
    /// Those that compact.
    Cleaner,
}

/// How a number of threads is too far from the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadsProblem {
    /// There would be none.
    None,
    /// Fewer than half of them.
    TooFew,
    /// More than twice as many.
    TooMany,
}

impl Threads {
    fn key(self) -> &'static str {
        match self {
            Self::Pool(name) => name,
            Self::Cleaner => "log.cleaner.threads",
        }
    }
}

impl ThreadsProblem {
    fn told(self, threads: Threads, current: i32, wanted: i32) -> String {
        let failed = format!("Dynamic thread count update validation failed for {}={wanted}", threads.key());
        match (threads, self) {
            (Threads::Pool(_), Self::None) => format!("{failed}, value should be at least 1"),
            (Threads::Pool(_), Self::TooFew) => {
                format!("{failed}, value should be at least half the current value {current}")
            }
            (Threads::Pool(_), Self::TooMany) => {
                format!("{failed}, value should not be greater than double the current value {current}")
            }
            (Threads::Cleaner, Self::None) => "Log cleaner threads should be at least 1".to_owned(),
            (Threads::Cleaner, Self::TooFew) => {
                format!("Log cleaner threads cannot be reduced to less than half the current value {current}")
            }
            (Threads::Cleaner, Self::TooMany) => {
                format!(
                    "Log cleaner threads cannot be increased to more than double the current value {current}"
                )
            }
        }
    }
}

impl ConfigError {
    /// The key that the error is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::UnknownTopicKey { name }
            | Self::UnknownGroupKey { name }
            | Self::UnknownBrokerKey { name }
            | Self::InvalidValue { name, .. }
            | Self::NotSupported { name, .. }
            | Self::NotDynamic { names: name }
            | Self::AtStart { name }
            | Self::NotAList { name, .. } => name,
            Self::InvalidAddress { name, .. } | Self::SeveralNodes { name, .. } => name,
            Self::Unfitting { name, .. } => name,
            Self::Threads { threads, .. } => threads.key(),
            Self::TooManyCustomKeys => "",
            Self::NoClassicProtocol => "group.coordinator.rebalance.protocols",
            Self::CompactionLags { .. } => "log.cleaner.min.compaction.lag.ms",
            Self::RetentionOfNothing => "log.retention.ms",
            Self::TwoNodeIds => "broker.id",
            Self::NotOneDirectory { .. } => "log.dirs",
            Self::NoDirectory { name } => name,
            Self::NoBrokerRole { .. } => "process.roles",
            Self::ReplicaSet { .. } => "ottla.replica.set",
            Self::PlaintextBetweenMachines { name, .. } | Self::IncompletePeerTls { name } => name,
        }
    }
}
