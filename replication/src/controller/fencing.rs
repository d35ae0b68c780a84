//! Who may be used: brokers are fenced, used again, and stop. Source: KIP-631, KIP-841, KIP-966.
//!
//! A broker that is fenced leaves every ISR but those whose last member it is, and leads nothing, in one decision. Where
//! that makes more records than a decision may have, partitions without a leader go first and the answer says that the same
//! request must be made again; every part of it may be repeated.
//! Source: `ReplicationControlManager.handleBroker*`.

use crate::controller::brokers::StaleBrokerEpoch;
use crate::controller::partition_change::{Rules, Sweep};
use crate::controller::{Env, RECORDS_PER_REQUEST_MAX};
use crate::metadata::image::{MetadataImage, PartitionImage};
use crate::metadata::record::{BrokerRegistration, LeaderChange, MetadataRecord};
use serde::{Deserialize, Serialize};
use storage::ids::{BrokerEpoch, BrokerId};

/// A run of a broker becomes usable or unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeBrokerState {
    /// The broker.
    pub broker_id: BrokerId,
    /// The run of it that is meant.
    pub broker_epoch: BrokerEpoch,
    /// What it becomes.
    pub to: BrokerState,
}

/// Whether a broker is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BrokerState {
    /// It is not: nobody hears from it.
    Fenced,
    /// It is.
    Unfenced,
    /// It is about to stop: others lead what they can, and only what nobody else can lead stays with it.
    ShuttingDown,
}

/// What has become of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStateChange {
    /// Whether all partitions follow; where not, the same request is to be made again.
    pub is_complete: bool,
    /// How many partitions it leads now.
    pub leads: usize,
}

/// What of its data a broker may have lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing that it acknowledged.
    Nothing,
    /// What it acknowledged without flushing it.
    Unflushed,
    /// All of it: it came back with another directory.
    Everything,
}

/// Changes the state of a broker and of the partitions that this concerns.
pub(super) fn change_state(
    request: &ChangeBrokerState,
    env: &Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Result<BrokerStateChange, StaleBrokerEpoch>) {
    let ChangeBrokerState { broker_id, broker_epoch, to } = *request;
    let known = image.broker(broker_id).filter(|known| known.broker_epoch == broker_epoch);
    let Some(known) = known else {
        return (Vec::new(), Err(StaleBrokerEpoch { broker_id, broker_epoch }));
    };
    // A fenced broker leads nothing, so it has nothing to hand over and is fenced until it goes.
    if to == BrokerState::ShuttingDown && known.is_fenced {
        return (Vec::new(), Ok(BrokerStateChange { is_complete: true, leads: 0 }));
    }
    let mut records: Vec<MetadataRecord> = state_record(known, to).into_iter().collect();
    let changed = image.apply(image.offset(), &records);
    let rules = Rules::new(env, &changed);
    let swept = match to {
        BrokerState::Fenced => leave(rules, broker_id, Loss::Nothing),
        BrokerState::Unfenced => return_to_leaderless(rules, broker_id),
        BrokerState::ShuttingDown => hand_over(rules, broker_id),
    };
    let is_complete = swept.is_complete;
    records.extend(swept.records);
    let leads = leads_after(image, &records, broker_id);
    (records, Ok(BrokerStateChange { is_complete, leads }))
}

/// The record that makes a broker be `to`, where it is not.
pub(super) fn state_record(known: &BrokerRegistration, to: BrokerState) -> Option<MetadataRecord> {
    let (is_fenced, is_shutting_down) = match to {
        BrokerState::Fenced => (true, false),
        BrokerState::Unfenced => (false, false),
        BrokerState::ShuttingDown => (false, true),
    };
    let BrokerRegistration { broker_id, broker_epoch, .. } = *known;
    ((known.is_fenced, known.is_shutting_down) != (is_fenced, is_shutting_down))
        .then_some(MetadataRecord::BrokerState { broker_id, broker_epoch, is_fenced, is_shutting_down })
}

/// How many partitions `broker` leads after `records`.
fn leads_after(image: &MetadataImage, records: &[MetadataRecord], broker: BrokerId) -> usize {
    let led = image.topics().flat_map(|topic| &topic.partitions).filter(|led| is_led_by(led, broker));
    let mut leads = led.count();
    for record in records {
        let MetadataRecord::PartitionChange(change) = record else { continue };
        let before = image.topic_by_id(change.topic_id).and_then(|topic| topic.partition(change.partition));
        let was_led = before.is_some_and(|before| is_led_by(before, broker));
        match change.leader {
            LeaderChange::Unchanged => {}
            LeaderChange::Elected(leader) if leader == broker => leads += usize::from(!was_led),
            LeaderChange::Elected(_) | LeaderChange::NoLeader => leads -= usize::from(was_led),
        }
    }
    leads
}

fn is_led_by(partition: &PartitionImage, broker: BrokerId) -> bool {
    partition.leader == Some(broker)
}

/// `broker`, which is fenced in the image of `rules`, leaves what it led and where it was in-sync.
pub(super) fn leave(rules: Rules<'_>, broker: BrokerId, loss: Loss) -> Sweep<'_> {
    let mut sweep = Sweep::new(rules, RECORDS_PER_REQUEST_MAX);
    for leaders in [true, false] {
        sweep.over(
            |partition| {
                let in_isr = partition.isr.contains(&broker);
                let is_lost = loss == Loss::Everything || partition.isr.len() > 1;
                let in_eligible = partition.eligible_leader_replicas.contains(&broker);
                let is_to_choose = partition.leader.is_none() && partition.replicas.contains(&broker);
                is_led_by(partition, broker) == leaders
                    && (leaders
                        || (in_isr && is_lost)
                        || (in_eligible && loss != Loss::Nothing)
                        || (is_to_choose && loss == Loss::Everything))
            },
            |target, _| match loss {
                Loss::Nothing => target.leave_isr(broker),
                Loss::Unflushed => target.leave_isr(broker).leave_eligible(broker),
                Loss::Everything => target.lose(broker),
            },
        );
    }
    sweep
}

/// Partitions without a leader elect one where `broker`, which is usable in the image of `rules`, may be it.
pub(super) fn return_to_leaderless(rules: Rules<'_>, broker: BrokerId) -> Sweep<'_> {
    let mut sweep = Sweep::new(rules, RECORDS_PER_REQUEST_MAX);
    sweep.over(
        |partition| {
            let candidates = [&partition.isr, &partition.eligible_leader_replicas];
            partition.leader.is_none() && candidates.into_iter().flatten().any(|member| *member == broker)
        },
        |target, _| target,
    );
    sweep
}

/// `broker`, which is stopping in the image of `rules`, hands over what others can lead, and leaves the ISR of the rest.
fn hand_over(rules: Rules<'_>, broker: BrokerId) -> Sweep<'_> {
    let image = rules.image;
    let mut sweep = Sweep::new(rules, RECORDS_PER_REQUEST_MAX);
    for leaders in [true, false] {
        sweep.over(
            |partition| {
                let others = || partition.isr.iter().any(|member| image.is_active(*member));
                is_led_by(partition, broker) == leaders
                    && partition.isr.contains(&broker)
                    && partition.isr.len() > 1
                    && (!leaders || others())
            },
            |target, _| target.leave_isr(broker),
        );
    }
    sweep
}
