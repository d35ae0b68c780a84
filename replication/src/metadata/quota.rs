//! Client quotas as the metadata has them: for whom, what is limited, and to how much. Source: KIP-13, KIP-124, KIP-546.
//!
//! Absent: how much of it there is, and what becomes of a request that is over its quota (`ottla::client_quotas`,
//! [`crate::controller::mutations`]).

use serde::{Deserialize, Serialize};

/// A user, client id or address in a quota.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QuotaName {
    /// All those that have no quota of their own.
    Default,
    /// This one.
    Named(String),
}

/// For whom a quota is: a user, a client id, or a client id of a user; or an address, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuotaEntity {
    /// The user.
    pub user: Option<QuotaName>,
    /// The client id.
    pub client_id: Option<QuotaName>,
    /// The address.
    pub ip: Option<QuotaName>,
}

/// By how many of its first bytes a name is told apart from others where rates are measured. Larger: clients that make long
/// names up take more memory. Smaller: clients of different names share a rate.
const TOLD_APART_BYTES: usize = 256;

impl QuotaEntity {
    /// Whose quota may hold for requests of `user` with this client id, from the most exact to the least: users before client
    /// ids. Source: KIP-124, `ClientQuotaManager.DefaultQuotaCallback`.
    #[must_use]
    pub fn of_client(user: &str, client_id: &str) -> [Self; 8] {
        let named = |name: &str| Some(QuotaName::Named(name.to_owned()));
        let default = || Some(QuotaName::Default);
        [
            (named(user), named(client_id)),
            (named(user), default()),
            (named(user), None),
            (default(), named(client_id)),
            (default(), default()),
            (default(), None),
            (None, named(client_id)),
            (None, default()),
        ]
        .map(|(user, client_id)| Self { user, client_id, ip: None })
    }

    /// Who shares the rate that is measured where the quota of this entity holds for `user` and this client id: a user's is
    /// shared by all of its client ids, one of a client id by all users that have none.
    #[must_use]
    pub fn shared_by(&self, user: &str, client_id: &str) -> Self {
        let name = |part: &Option<QuotaName>, name: &str| {
            part.as_ref()
                .map(|_| QuotaName::Named(name[..name.floor_char_boundary(TOLD_APART_BYTES)].to_owned()))
        };
        Self { user: name(&self.user, user), client_id: name(&self.client_id, client_id), ip: None }
    }
}

/// What is limited. Source: `QuotaConfig.java`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QuotaKey {
    /// Bytes a second that are produced to one broker.
    ProducerByteRate,
    /// Bytes a second that are fetched from one broker.
    ConsumerByteRate,
    /// Time that requests take of one thread of one broker, in percent.
    RequestPercentage,
    /// Partitions a second that are made or deleted in the cluster. Source: KIP-599.
    ControllerMutationRate,
    /// Connections a second that an address opens to one broker. Source: KIP-612.
    ConnectionCreationRate,
}

/// Every key.
pub const QUOTA_KEYS: [QuotaKey; 5] = [
    QuotaKey::ProducerByteRate,
    QuotaKey::ConsumerByteRate,
    QuotaKey::RequestPercentage,
    QuotaKey::ControllerMutationRate,
    QuotaKey::ConnectionCreationRate,
];

impl QuotaKey {
    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    /// The key of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        QUOTA_KEYS.into_iter().find(|key| key.name() == name)
    }

    /// Its number in a record.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::ProducerByteRate => 1,
            Self::ConsumerByteRate => 2,
            Self::RequestPercentage => 3,
            Self::ControllerMutationRate => 4,
            Self::ConnectionCreationRate => 5,
        }
    }

    pub(super) fn of_number(number: u8) -> Option<Self> {
        QUOTA_KEYS.into_iter().find(|key| key.number() == number)
    }

    /// The largest limit where only whole numbers are limits. Source: `QuotaConfig.java`.
    #[must_use]
    pub fn integral_max(self) -> Option<i64> {
        match self {
            Self::ProducerByteRate | Self::ConsumerByteRate => Some(i64::MAX),
            Self::ConnectionCreationRate => Some(i64::from(i32::MAX)),
            Self::RequestPercentage | Self::ControllerMutationRate => None,
        }
    }

    /// Whether it is of addresses, and not of users and client ids.
    #[must_use]
    pub fn is_of_addresses(self) -> bool {
        self == Self::ConnectionCreationRate
    }
}

/// How much of it there may be in a second. It is compared bit by bit, so that equal metadata is the same metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaLimit(u64);

impl QuotaLimit {
    /// That many.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self(value.to_bits())
    }

    /// How many.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}
