//! How many partitions clients may have made and deleted in a second (`controller_mutation_rate`).
//!
//! The controller counts, as Kafka's does, and not the node that was asked: the quota is one for the whole cluster, however
//! many nodes a client asks, and a topic that is refused for another reason costs nothing. What was counted is soft: whoever
//! takes over the lead begins with what every client may do at once.
//!
//! Each client has tokens, which come back at the rate of its quota, and one is taken for each partition. While there are
//! any, a topic is made or deleted whole, and may use up more than there are; what follows then waits until they are back. A
//! strict request is refused meanwhile, and told for how long; any other is carried out, and its client told to keep quiet.
//! Checking only costs as much. Source: KIP-599, `ControllerMutationQuotaManager.java`, `TokenBucket.java`.

use crate::controller::partitions::{self, CreatePartitions, PartitionsCreation};
use crate::controller::topics::{self, CreateTopics, DeleteTopics, TopicCreation, TopicDeletion};
use crate::controller::{ControllerReply, Decision, Env};
use crate::metadata::image::MetadataImage;
use crate::metadata::quota::{QuotaEntity, QuotaKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most users and client ids whose tokens are remembered at once. Larger: clients that make names up take more memory,
/// about 500 bytes each. Smaller: those beyond it share their tokens, and hold one another up.
const ALLOWANCES_MAX: usize = 10_000;

/// How often those who have all their tokens back may be looked for. Shorter: names that are made up one by one cost a walk
/// over all of them each. Longer: those who share tokens share them for longer.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A request whose partitions are charged to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargedRequest {
    /// The user.
    pub user: String,
    /// The name that the client gave itself.
    pub client_id: String,
    /// Whether it is refused what is over its quota, and not only told to keep quiet afterwards.
    pub is_strict: bool,
    /// What it asks for.
    pub mutation: Mutation,
}

/// What makes or deletes partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mutation {
    /// Create topics.
    CreateTopics(CreateTopics),
    /// Delete topics.
    DeleteTopics(DeleteTopics),
    /// Add partitions to topics.
    CreatePartitions(CreatePartitions),
}

/// What became of the [`Mutation`] of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MutationResults {
    /// One result for each name, in the order of the request.
    CreateTopics(Vec<TopicCreation>),
    /// One result for each topic that was named.
    DeleteTopics(Vec<TopicDeletion>),
    /// One result for each topic that was named.
    CreatePartitions(Vec<PartitionsCreation>),
}

/// The client has used up its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("The throttling quota has been exceeded.")]
pub struct MutationQuotaExceeded;

/// The tokens of clients.
#[derive(Debug)]
pub struct MutationAllowances {
    /// For how long tokens are saved up.
    burst: Duration,
    by_client: BTreeMap<QuotaEntity, Allowance>,
    /// Of those for whom there was no room.
    others: Option<Allowance>,
    swept_at: Duration,
}

/// The tokens of one client, or of those who share a quota.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    tokens: f64,
    counted_at: Duration,
    /// How many come back in a second.
    limit: f64,
}

/// What one request is charged.
#[derive(Debug)]
pub(super) struct Charge {
    allowance: Option<(QuotaEntity, Allowance)>,
    is_strict: bool,
    quiet: Duration,
}

pub(super) fn handle(request: &ChargedRequest, env: &mut Env<'_>, image: &MetadataImage) -> Decision {
    let mut charge = env.allowances.open(request, image, env.now);
    let (records, results) = match &request.mutation {
        Mutation::CreateTopics(create) => {
            let (records, results) = topics::create(create, &mut charge, env, image);
            (records, MutationResults::CreateTopics(results))
        }
        Mutation::DeleteTopics(delete) => {
            let (records, results) = topics::delete(delete, &mut charge, image);
            (records, MutationResults::DeleteTopics(results))
        }
        Mutation::CreatePartitions(create) => {
            let (records, results) = partitions::create(create, &mut charge, env, image);
            (records, MutationResults::CreatePartitions(results))
        }
    };
    let quiet = env.allowances.settle(charge);
    Decision { records, reply: ControllerReply::Charged { results, quiet } }
}

impl MutationAllowances {
    /// Everybody may do at once what fits a quota for as long as `burst`.
    #[must_use]
    pub fn new(burst: Duration) -> Self {
        Self { burst, by_client: BTreeMap::new(), others: None, swept_at: Duration::ZERO }
    }

    fn open(&mut self, request: &ChargedRequest, image: &MetadataImage, now: Duration) -> Charge {
        let quotas = image.client_quotas();
        let limited =
            QuotaEntity::of_client(&request.user, &request.client_id).into_iter().find_map(|entity| {
                let limit = quotas.get(&entity)?.get(&QuotaKey::ControllerMutationRate)?;
                Some((entity.shared_by(&request.user, &request.client_id), limit.value()))
            });
        let allowance = limited.map(|(client, limit)| {
            let known = match self.by_client.get(&client).copied() {
                None if !self.has_room(now) => self.others,
                known => known,
            };
            let mut allowance = known.unwrap_or(Allowance::full(limit, self.burst, now));
            allowance.limit = limit;
            allowance.count(self.burst, now);
            (client, allowance)
        });
        Charge { allowance, is_strict: request.is_strict, quiet: Duration::ZERO }
    }

    /// Remembers what is left, and says for how long the client is to keep quiet.
    fn settle(&mut self, charge: Charge) -> Duration {
        if let Some((client, allowance)) = charge.allowance {
            let is_known = self.by_client.contains_key(&client);
            if allowance.is_full(self.burst) {
                self.by_client.remove(&client);
            } else if is_known || self.by_client.len() < ALLOWANCES_MAX {
                self.by_client.insert(client, allowance);
            } else {
                self.others = Some(allowance);
            }
        }
        charge.quiet
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.by_client.len()
    }

    fn has_room(&mut self, now: Duration) -> bool {
        if self.by_client.len() >= ALLOWANCES_MAX && now >= self.swept_at + SWEEP_EVERY {
            self.swept_at = now;
            let burst = self.burst;
            self.by_client.retain(|_, allowance| {
                allowance.count(burst, now);
                !allowance.is_full(burst)
            });
        }
        self.by_client.len() < ALLOWANCES_MAX
    }
}

impl Allowance {
    fn full(limit: f64, burst: Duration, now: Duration) -> Self {
        let empty = Self { tokens: 0.0, counted_at: now, limit };
        Self { tokens: empty.most(burst), ..empty }
    }

    /// How many there are at most.
    fn most(self, burst: Duration) -> f64 {
        self.limit * burst.as_secs_f64()
    }

    fn is_full(self, burst: Duration) -> bool {
        self.tokens >= self.most(burst)
    }

    /// Adds those that have come back until `now`.
    fn count(&mut self, burst: Duration, now: Duration) {
        let passed = now.saturating_sub(self.counted_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.limit).min(self.most(burst));
        self.counted_at = now.max(self.counted_at);
    }

    /// How long until none is owed any more, in whole milliseconds, as clients are told it.
    fn wait(self) -> Duration {
        let owed = (-self.tokens).max(0.0);
        Duration::from_millis((owed / self.limit * 1000.0).ceil() as u64)
    }
}

impl Charge {
    /// The request of somebody without a quota.
    pub(super) fn free() -> Self {
        Self { allowance: None, is_strict: false, quiet: Duration::ZERO }
    }

    /// So many partitions are made or deleted.
    ///
    /// # Errors
    /// [`MutationQuotaExceeded`] where they must not be; they do not count then.
    pub(super) fn take(&mut self, partitions: usize) -> Result<(), MutationQuotaExceeded> {
        let Some((_, allowance)) = &mut self.allowance else { return Ok(()) };
        if self.is_strict && allowance.tokens < 0.0 {
            self.quiet = allowance.wait();
            return Err(MutationQuotaExceeded);
        }
        allowance.tokens -= partitions as f64;
        if !self.is_strict {
            self.quiet = allowance.wait();
        }
        Ok(())
    }
}
