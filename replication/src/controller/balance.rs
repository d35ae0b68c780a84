//! Leaders go back to the first of their replicas, a few at a time. Source: `leader.imbalance.check.interval.seconds`,
//! `ReplicationControlManager.maybeBalancePartitionLeaders`.

use crate::controller::Env;
use crate::controller::partition_change::{Election, Rules, Sweep};
use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use serde::{Deserialize, Serialize};

/// The most leaders that move at once. Larger: more producers and consumers look for their leader at the same time.
/// Smaller: a set takes longer to be even again. Source: `MAX_ELECTIONS_PER_IMBALANCE`.
pub const ELECTIONS_PER_BALANCE_MAX: usize = 1000;

/// How many leaders moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancedLeaders {
    /// How many partitions their first replica leads now.
    pub moved: usize,
    /// Whether there are no more to move.
    pub is_complete: bool,
}

/// Has first replicas lead that are in-sync and active, and do not.
pub(super) fn balance(env: &Env<'_>, image: &MetadataImage) -> (Vec<MetadataRecord>, BalancedLeaders) {
    let mut sweep = Sweep::new(Rules::new(env, image), ELECTIONS_PER_BALANCE_MAX);
    sweep.over(
        |partition| {
            let preferred = partition.replicas.first().copied();
            let may_lead = |broker| partition.isr.contains(&broker) && image.is_active(broker);
            partition.leader != preferred && preferred.is_some_and(may_lead)
        },
        |target, _| target.elect(Election::Preferred),
    );
    let balanced = BalancedLeaders { moved: sweep.records.len(), is_complete: sweep.is_complete };
    (sweep.records, balanced)
}
