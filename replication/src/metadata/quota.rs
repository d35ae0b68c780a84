//! Client quotas as the metadata has them: for whom, what is limited, and to how much. Source: KIP-13, KIP-124, KIP-546.
//!
//! Absent: which of several quotas holds for a request, and what becomes of one that is over it (`ottla::quota`).

use serde::{Deserialize, Serialize};

/// A user or client id in a quota.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QuotaName {
    /// All those that have no quota of their own.
    Default,
    /// This one.
    Named(String),
}

/// For whom a quota is: a user, a client id, or a client id of a user; at least one of the two is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuotaEntity {
    /// The user.
    pub user: Option<QuotaName>,
    /// The client id.
    pub client_id: Option<QuotaName>,
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
}

/// Every key.
pub const QUOTA_KEYS: [QuotaKey; 3] =
    [QuotaKey::ProducerByteRate, QuotaKey::ConsumerByteRate, QuotaKey::RequestPercentage];

impl QuotaKey {
    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
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
        }
    }

    pub(super) fn of_number(number: u8) -> Option<Self> {
        QUOTA_KEYS.into_iter().find(|key| key.number() == number)
    }

    /// Whether only whole numbers are limits.
    #[must_use]
    pub fn is_integral(self) -> bool {
        match self {
            Self::ProducerByteRate | Self::ConsumerByteRate => true,
            Self::RequestPercentage => false,
        }
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
