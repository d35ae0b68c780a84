//! Random sequences of decisions over five nodes, beside a model of who holds what was committed.
//!
//! In the model a record is committed where a real leader would commit it: every in-sync replica runs and holds all that was
//! committed before, the ISR is as large as the leader's own `min.insync.replicas` asks for (which differs from node to node, and from
//! what the controller goes by), and there is no eligible replica beside it. From then on only those in-sync hold everything.
//! A node that loses its disk holds nothing. No election here is unclean, so a leader that lacks something is a fault.

use super::{Controller, change, named};
use crate::controller::brokers::{RegisterBroker, UnregisterBroker};
use crate::controller::configs::ConfigOperation;
use crate::controller::elections::{ElectLeaders, ElectionType};
use crate::controller::fencing::{BrokerState, ChangeBrokerState};
use crate::controller::growth::GrowReplicas;
use crate::controller::isr::{AlterPartition, PartitionProposal};
use crate::controller::partitions::{CreatePartitions, MorePartitions};
use crate::controller::reassignments::{AlterPartitionReassignments, Reassignment};
use crate::controller::topics::NewTopic;
use crate::controller::{ControllerReply, ControllerRequest};
use crate::leader::IsrProposal;
use crate::metadata::image::{MetadataImage, PartitionImage};
use crate::metadata::record::ConfigResource;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use storage::ids::{BrokerId, PartitionIndex, TopicPartition};

const NODES: i32 = 5;

#[derive(Debug, Clone)]
enum Step {
    Kill(BrokerId),
    /// Its disk is gone, where it does not run.
    Wipe(BrokerId),
    Start(BrokerId),
    Ready(BrokerId),
    /// Not heard from, whether it runs or not.
    Silent(BrokerId),
    Stop(BrokerId),
    Unregister(BrokerId),
    /// A replica copies all that its leader has.
    CatchUp(usize, BrokerId),
    /// The leader asks for an ISR of those that hold everything and are picked by these bits.
    Isr(usize, u8),
    Commit(usize),
    Move(usize, Vec<BrokerId>),
    Cancel(usize),
    ElectPreferred(usize),
    Balance,
    Grow,
    AddPartition,
    SetMin(u8),
    /// Another node becomes the controller, whose default is this.
    DefaultMin(usize),
}

fn broker() -> impl Strategy<Value = BrokerId> {
    (1..=NODES).prop_map(BrokerId)
}

fn step() -> impl Strategy<Value = Step> {
    let partition = || 0..6usize;
    let replicas = prop::collection::btree_set(1..=NODES, 1..4).prop_shuffle_to_vec();
    prop_oneof![
        4 => broker().prop_map(Step::Kill),
        1 => broker().prop_map(Step::Wipe),
        6 => broker().prop_map(Step::Start),
        9 => broker().prop_map(Step::Ready),
        5 => broker().prop_map(Step::Silent),
        1 => broker().prop_map(Step::Stop),
        1 => broker().prop_map(Step::Unregister),
        12 => (partition(), broker()).prop_map(|(partition, broker)| Step::CatchUp(partition, broker)),
        12 => (partition(), any::<u8>()).prop_map(|(partition, bits)| Step::Isr(partition, bits)),
        12 => partition().prop_map(Step::Commit),
        3 => (partition(), replicas).prop_map(|(partition, replicas)| Step::Move(partition, replicas)),
        1 => partition().prop_map(Step::Cancel),
        1 => partition().prop_map(Step::ElectPreferred),
        1 => Just(Step::Balance),
        1 => Just(Step::Grow),
        1 => Just(Step::AddPartition),
        1 => (1..4u8).prop_map(Step::SetMin),
        1 => (1..4usize).prop_map(Step::DefaultMin),
    ]
}

trait ShuffledBrokers {
    fn prop_shuffle_to_vec(self) -> BoxedStrategy<Vec<BrokerId>>;
}

impl<S: Strategy<Value = BTreeSet<i32>> + 'static> ShuffledBrokers for S {
    fn prop_shuffle_to_vec(self) -> BoxedStrategy<Vec<BrokerId>> {
        self.prop_map(|ids| ids.into_iter().map(BrokerId).collect::<Vec<_>>()).prop_shuffle().boxed()
    }
}

#[derive(Default)]
struct Node {
    runs: bool,
    incarnation: u128,
    disk: u128,
}

type Key = (String, PartitionIndex);

/// The set, and who holds everything that was committed.
struct World {
    controller: Controller,
    nodes: BTreeMap<BrokerId, Node>,
    complete: BTreeMap<Key, BTreeSet<BrokerId>>,
    next_id: u128,
}

impl World {
    fn new() -> Self {
        let nodes = (1..=NODES).map(|id| (BrokerId(id), Node::default())).collect();
        let mut world = Self { controller: Controller::new(0), nodes, complete: BTreeMap::new(), next_id: 1 };
        for id in (1..=NODES).map(BrokerId) {
            world.step(&Step::Start(id));
            world.step(&Step::Ready(id));
        }
        for (name, replication_factor) in [("grows", None), ("stays", Some(3)), ("single", Some(1))] {
            let topic = NewTopic { partitions: Some(2), replication_factor, ..named(name) };
            world.controller.create(topic).expect("there are enough nodes");
        }
        world.note(&MetadataImage::default());
        world
    }

    fn runs(&self, broker: BrokerId) -> bool {
        self.nodes.get(&broker).is_some_and(|node| node.runs)
    }

    fn id(&mut self) -> u128 {
        self.next_id += 1;
        self.next_id
    }

    fn partition(&self, at: usize) -> (Key, PartitionImage) {
        let all: Vec<_> = self
            .controller
            .image
            .topics()
            .flat_map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(|partition| ((topic.name.to_string(), partition.index), partition))
            })
            .collect();
        let (key, partition) = &all[at % all.len()];
        (key.clone(), PartitionImage::clone(partition))
    }

    fn step(&mut self, step: &Step) {
        let before = self.controller.image.clone();
        match step {
            Step::Kill(id) => self.nodes.entry(*id).or_default().runs = false,
            Step::Wipe(id) if !self.runs(*id) => {
                let disk = self.id();
                self.nodes.entry(*id).or_default().disk = disk;
                for complete in self.complete.values_mut() {
                    complete.remove(id);
                }
            }
            Step::Wipe(_) => {}
            Step::Start(id) => self.start(*id),
            Step::Ready(id) if self.runs(*id) => self.change_state(*id, BrokerState::Unfenced),
            Step::Ready(_) => {}
            Step::Silent(id) => self.change_state(*id, BrokerState::Fenced),
            Step::Stop(id) => self.change_state(*id, BrokerState::ShuttingDown),
            Step::Unregister(broker_id) => {
                let request = UnregisterBroker { broker_id: *broker_id };
                self.controller.ask(&ControllerRequest::UnregisterBroker(request));
            }
            Step::CatchUp(at, id) => self.catch_up(*at, *id),
            Step::Isr(at, bits) => self.change_isr(*at, *bits),
            Step::Commit(at) => self.commit(*at),
            Step::Move(at, replicas) => self.reassign(*at, Some(replicas.clone())),
            Step::Cancel(at) => self.reassign(*at, None),
            Step::ElectPreferred(at) => {
                let ((topic, PartitionIndex(index)), _) = self.partition(*at);
                let partitions = Some(vec![TopicPartition::new(topic, index)]);
                let request = ElectLeaders { election_type: ElectionType::Preferred, partitions };
                self.controller.ask(&ControllerRequest::ElectLeaders(request));
            }
            Step::Balance => drop(self.controller.ask(&ControllerRequest::BalanceLeaders)),
            Step::Grow => {
                let request =
                    GrowReplicas { default_replication_factor: 3, replication_factors: BTreeMap::new() };
                self.controller.ask(&ControllerRequest::GrowReplicas(request));
            }
            Step::AddPartition => self.add_partition(),
            Step::SetMin(min) => {
                let set = change("min.insync.replicas", ConfigOperation::Set, Some(&min.to_string()));
                self.controller.alter(ConfigResource::Topic("stays".to_owned()), set).expect("it may be set");
            }
            Step::DefaultMin(min) => self.controller.rules.default_min_insync_replicas = *min,
        }
        check(&before, &self.controller.image, step);
        self.note(&before);
        self.check_complete(step);
    }

    fn start(&mut self, id: BrokerId) {
        let incarnation = self.id();
        let node = self.nodes.entry(id).or_default();
        (node.runs, node.incarnation) = (true, incarnation);
        let request = RegisterBroker {
            broker_id: id,
            incarnation: uuid::Uuid::from_u128(incarnation),
            endpoints: Vec::new(),
            rack: Some(format!("rack {}", id.0 % 2)),
            directory_id: uuid::Uuid::from_u128(node.disk + 1),
            starts_fenced: true,
            was_clean: true,
        };
        self.controller.ask(&ControllerRequest::RegisterBroker(request));
    }

    fn change_state(&mut self, broker_id: BrokerId, to: BrokerState) {
        let Some(known) = self.controller.image.broker(broker_id) else { return };
        // What is ready is the run that registered last, not one before it.
        let is_newest =
            self.nodes.get(&broker_id).is_some_and(|node| known.incarnation.as_u128() == node.incarnation);
        if !is_newest && to != BrokerState::Fenced {
            return;
        }
        let request = ChangeBrokerState { broker_id, broker_epoch: known.broker_epoch, to };
        let reply = self.controller.ask(&ControllerRequest::ChangeBrokerState(request));
        assert!(matches!(reply, ControllerReply::ChangeBrokerState(Ok(change)) if change.is_complete));
    }

    fn catch_up(&mut self, at: usize, id: BrokerId) {
        let (key, partition) = self.partition(at);
        let leader_runs = partition.leader.is_some_and(|leader| self.runs(leader));
        if leader_runs && self.runs(id) && partition.replicas.contains(&id) {
            self.complete.entry(key).or_default().insert(id);
        }
    }

    fn change_isr(&mut self, at: usize, bits: u8) {
        let ((topic, index), partition) = self.partition(at);
        let Some(leader) = partition.leader.filter(|leader| self.runs(*leader)) else { return };
        let image = &self.controller.image;
        let epoch =
            |id: BrokerId| image.broker(id).map_or(storage::ids::BrokerEpoch(-1), |known| known.broker_epoch);
        let complete = &self.complete[&(topic.clone(), index)];
        let is_picked = |id: &BrokerId| *id == leader || (complete.contains(id) && bits & (1 << id.0) != 0);
        let isr = partition.replicas.iter().copied().filter(is_picked).map(|id| (id, epoch(id))).collect();
        let (leader_epoch, partition_epoch) = (partition.leader_epoch, partition.partition_epoch);
        let topic_id = image.topic_by_name(&topic).expect("it is there").id;
        let proposal = IsrProposal { leader_epoch, partition_epoch, isr };
        let request = AlterPartition {
            broker_id: leader,
            broker_epoch: epoch(leader),
            partitions: vec![PartitionProposal { topic_id, partition: index, proposal }],
        };
        self.controller.ask(&ControllerRequest::AlterPartition(request));
    }

    fn commit(&mut self, at: usize) {
        let (key, partition) = self.partition(at);
        let Some(leader) = partition.leader else { return };
        let own_min = usize::try_from(leader.0 % 3 + 1).unwrap_or(1);
        let is_enough = partition.isr.len() >= own_min.min(partition.settled_replication_factor());
        let all_run = partition.isr.iter().all(|member| self.runs(*member));
        if is_enough && all_run && partition.eligible_leader_replicas.is_empty() {
            self.complete.insert(key, partition.isr.iter().copied().collect());
        }
    }

    fn reassign(&mut self, at: usize, replicas: Option<Vec<BrokerId>>) {
        let ((topic, PartitionIndex(index)), _) = self.partition(at);
        let request = AlterPartitionReassignments {
            partitions: vec![Reassignment { partition: TopicPartition::new(topic, index), replicas }],
            allows_replication_factor_change: true,
        };
        self.controller.ask(&ControllerRequest::AlterPartitionReassignments(request));
    }

    fn add_partition(&mut self) {
        let count = self.controller.image.topic_by_name("grows").map_or(0, |topic| topic.partitions.len());
        if count < 4 {
            let count = i32::try_from(count).expect("a small number") + 1;
            let topics = vec![MorePartitions { name: "grows".to_owned(), count, assignments: None }];
            let request = CreatePartitions { topics, validate_only: false };
            self.controller.ask(&ControllerRequest::CreatePartitions(request));
        }
    }

    /// New partitions hold nothing yet; who is no replica any more has deleted what it had.
    fn note(&mut self, before: &MetadataImage) {
        for topic in self.controller.image.topics() {
            for partition in &topic.partitions {
                let key = (topic.name.to_string(), partition.index);
                let complete = self.complete.entry(key).or_default();
                if before.partition(&topic.name, partition.index).is_none() {
                    complete.extend(partition.replicas.iter().copied());
                }
                complete.retain(|broker| partition.replicas.contains(broker));
            }
        }
    }

    fn check_complete(&self, step: &Step) {
        for topic in self.controller.image.topics() {
            for partition in &topic.partitions {
                let complete = &self.complete[&(topic.name.to_string(), partition.index)];
                let lost = |id: &BrokerId| {
                    self.nodes.get(id).is_some_and(|node| {
                        let known = self.controller.image.broker(*id).map(|known| known.directory_id);
                        known != Some(uuid::Uuid::from_u128(node.disk + 1))
                    })
                };
                let counted = partition.isr.iter().chain(&partition.eligible_leader_replicas);
                for member in counted.filter(|member| !lost(member)) {
                    assert!(
                        complete.contains(member),
                        "{member} lacks records of {partition:?} after {step:?}"
                    );
                }
            }
        }
    }
}

/// What holds in every image, and between two that follow each other.
fn check(before: &MetadataImage, after: &MetadataImage, step: &Step) {
    for topic in after.topics() {
        for partition in &topic.partitions {
            let context = || format!("{}-{} after {step:?}: {partition:?}", topic.name, partition.index);
            check_state(partition, after, &context);
            if let Some(old) = before.partition(&topic.name, partition.index) {
                check_change(old, partition, [before, after], step, &context);
            }
        }
    }
}

fn check_state(partition: &PartitionImage, image: &MetadataImage, context: &dyn Fn() -> String) {
    let PartitionImage { replicas, isr, eligible_leader_replicas: eligible, .. } = partition;
    if let Some(leader) = partition.leader {
        assert!(isr.contains(&leader), "the leader is not in-sync: {}", context());
        assert!(image.broker(leader).is_some_and(|known| !known.is_fenced), "it is fenced: {}", context());
        assert!(partition.last_known_eligible_leader_replicas.is_empty(), "{}", context());
    } else {
        let candidates = [isr, eligible].into_iter().flatten();
        assert!(!candidates.into_iter().any(|id| image.is_active(*id)), "one could lead: {}", context());
    }
    let members: BTreeSet<_> = isr.iter().chain(eligible).collect();
    assert_eq!(members.len(), isr.len() + eligible.len(), "a broker is named twice: {}", context());
    let lists = [isr, eligible, &partition.adding_replicas, &partition.removing_replicas];
    let named = lists.into_iter().flatten().all(|broker| replicas.contains(broker));
    assert!(named, "not all are replicas: {}", context());
    assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), replicas.len(), "{}", context());
    for member in isr.iter().filter(|_| isr.len() > 1) {
        assert!(
            image.broker(*member).is_some_and(|known| !known.is_fenced),
            "{member} is fenced: {}",
            context()
        );
    }
}

fn check_change(
    old: &PartitionImage,
    new: &PartitionImage,
    [before, after]: [&MetadataImage; 2],
    step: &Step,
    context: &dyn Fn() -> String,
) {
    if old == new {
        return;
    }
    assert!(new.partition_epoch > old.partition_epoch, "{}", context());
    let new_epoch = new.leader_epoch > old.leader_epoch;
    assert!(new.leader_epoch >= old.leader_epoch, "{}", context());
    let loses_replica = old.replicas.iter().any(|replica| !new.replicas.contains(replica));
    let is_new_reign = new.leader != old.leader || loses_replica;
    assert_eq!(is_new_reign, new_epoch, "an epoch has one leader and loses no replica: {}", context());
    let directory = |image: &MetadataImage, id| image.broker(id).map(|known| known.directory_id);
    if let [last] = *old.isr
        && !new.isr.contains(&last)
    {
        let has_successor = new.isr.iter().any(|member| old.eligible_leader_replicas.contains(member));
        let has_lost_all = directory(before, last) != directory(after, last);
        assert!(
            has_successor || has_lost_all || !new.replicas.contains(&last),
            "{last} is gone: {}",
            context()
        );
    }
    if let Some(leader) = new.leader.filter(|_| new_epoch) {
        let was_complete = old.isr.contains(&leader) || old.eligible_leader_replicas.contains(&leader);
        // Who joins may lead at once: where that completes a move, or the leader is stopping.
        let may_have_joined = matches!(step, Step::Isr(..));
        assert!(was_complete || may_have_joined, "an unclean leader: {}", context());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_decisions_elects_who_lacks_records(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        for id in (1..=NODES).map(BrokerId) {
            world.step(&Step::Start(id));
            world.step(&Step::Ready(id));
        }
        for topic in world.controller.image.topics() {
            for partition in &topic.partitions {
                let has_candidates = !partition.isr.is_empty() || !partition.eligible_leader_replicas.is_empty();
                prop_assert_eq!(partition.leader.is_some(), has_candidates, "{:?}", partition);
            }
        }
    }
}
