//! The real controller's decisions about one partition of three brokers, kept as one history of images that nodes learn
//! late but in order.

use crate::controller::brokers::RegisterBroker;
use crate::controller::configs::{AlterConfigs, AlterResource, ConfigChange, ConfigRules};
use crate::controller::fencing::{BrokerState, ChangeBrokerState};
use crate::controller::isr::{AlterPartition, AlterPartitionError, PartitionProposal};
use crate::controller::mutations::MutationAllowances;
use crate::controller::reassignments::{AlterPartitionReassignments, Reassignment};
use crate::controller::topics::{CreateTopics, NewTopic};
use crate::controller::{ControllerReply, ControllerRequest, Env, handle};
use crate::leader::{IsrProposal, Standing};
use crate::metadata::image::{MetadataImage, PartitionImage, TopicImage};
use crate::metadata::record::{ConfigResource, LeaderChange, MetadataRecord, PartitionChange};
use std::collections::BTreeMap;
use std::time::Duration;
use storage::ids::{BrokerEpoch, BrokerId, PartitionIndex, TopicPartition};

const TOPIC: &str = "t";
const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// What the cluster has agreed on at one moment.
#[derive(Debug, Clone)]
pub(super) struct Image(MetadataImage);

impl Image {
    fn topic(&self) -> &TopicImage {
        self.0.topic_by_name(TOPIC).expect("the topic was created")
    }

    pub(super) fn partition(&self) -> &PartitionImage {
        self.topic().partition(PartitionIndex(0)).expect("it has one partition")
    }

    pub(super) fn min_insync_replicas(&self) -> usize {
        let configs = self.0.configs_of(&ConfigResource::Topic(TOPIC.to_owned()));
        configs[MIN_INSYNC_REPLICAS].parse().expect("it is a number")
    }

    pub(super) fn standing(&self, broker: BrokerId) -> Option<Standing> {
        let registration = self.0.broker(broker)?;
        Some(Standing { broker_epoch: registration.broker_epoch, may_join_isr: self.0.is_active(broker) })
    }

    pub(super) fn is_fenced(&self, broker: BrokerId) -> bool {
        self.0.broker(broker).is_none_or(|registration| registration.is_fenced)
    }
}

/// How a proposal is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Stale,
    Ineligible,
}

/// The controller, with all that it ever decided.
pub(super) struct Controller {
    history: Vec<Image>,
    rules: ConfigRules,
    next_random: u128,
}

impl Controller {
    /// Brokers 1, 2 and 3, of which `replicas` hold the partition, all in sync, under the first.
    pub(super) fn new(replicas: &[i32], min_insync_replicas: usize) -> Self {
        let rules = ConfigRules {
            validate: Box::new(|_, _, _| Ok(())),
            default_list: |_, _| None,
            default_min_insync_replicas: min_insync_replicas,
        };
        let mut controller = Self { history: vec![Image(MetadataImage::default())], rules, next_random: 1 };
        controller.ask(&ControllerRequest::FormCluster);
        for broker in (1..=3).map(BrokerId) {
            controller.register(broker);
            controller.unfence(broker);
        }
        let replicas = replicas.iter().copied().map(BrokerId).collect();
        let min_insync_replicas = Some(min_insync_replicas.to_string());
        let topic = NewTopic {
            name: TOPIC.to_owned(),
            assignments: vec![(PartitionIndex(0), replicas)],
            configs: BTreeMap::from([(MIN_INSYNC_REPLICAS.to_owned(), min_insync_replicas)]),
            ..NewTopic::default()
        };
        controller.ask(&ControllerRequest::CreateTopics(CreateTopics {
            topics: vec![topic],
            validate_only: false,
            default_partitions: 1,
            default_replication_factor: 3,
        }));
        controller
    }

    pub(super) fn latest(&self) -> &Image {
        self.history.last().expect("history begins with an image")
    }

    pub(super) fn latest_index(&self) -> usize {
        self.history.len() - 1
    }

    pub(super) fn image(&self, index: usize) -> &Image {
        &self.history[index]
    }

    fn ask(&mut self, request: &ControllerRequest) -> ControllerReply {
        let mut random = || {
            self.next_random += 1;
            self.next_random
        };
        let mut env = Env {
            controller: BrokerId(1),
            random: &mut random,
            config_rules: &self.rules,
            allowances: &mut MutationAllowances::new(Duration::ZERO),
            now: Duration::ZERO,
        };
        let image = &self.history.last().expect("history begins with an image").0;
        let decision = handle(request, &mut env, image);
        self.apply(&decision.records);
        decision.reply
    }

    fn apply(&mut self, records: &[MetadataRecord]) {
        if !records.is_empty() {
            let image = &self.latest().0;
            self.history.push(Image(image.apply(image.offset() + 1, records)));
        }
    }

    /// A new run of a broker, fenced until it has shown itself.
    pub(super) fn register(&mut self, broker_id: BrokerId) -> BrokerEpoch {
        self.next_random += 1;
        let request = RegisterBroker {
            broker_id,
            incarnation: uuid::Uuid::from_u128(self.next_random),
            endpoints: Vec::new(),
            rack: None,
            directory_id: uuid::Uuid::nil(),
            starts_fenced: true,
            was_clean: true,
        };
        match self.ask(&ControllerRequest::RegisterBroker(request)) {
            ControllerReply::RegisterBroker(Ok(epoch)) => epoch,
            other => panic!("{other:?}"),
        }
    }

    fn change_state(&mut self, broker_id: BrokerId, to: BrokerState) {
        let Some(Standing { broker_epoch, .. }) = self.latest().standing(broker_id) else { return };
        let request = ChangeBrokerState { broker_id, broker_epoch, to };
        self.ask(&ControllerRequest::ChangeBrokerState(request));
    }

    pub(super) fn fence(&mut self, broker: BrokerId) {
        self.change_state(broker, BrokerState::Fenced);
    }

    pub(super) fn unfence(&mut self, broker: BrokerId) {
        self.change_state(broker, BrokerState::Unfenced);
    }

    /// The broker is about to stop, and hands over.
    pub(super) fn shut_down(&mut self, broker: BrokerId) {
        self.change_state(broker, BrokerState::ShuttingDown);
    }

    /// Another member of the ISR leads.
    pub(super) fn move_leader(&mut self, to: BrokerId) {
        let image = self.latest();
        let partition = image.partition();
        let may_lead = partition.isr.contains(&to) && image.0.is_active(to);
        if may_lead && partition.leader != Some(to) {
            let leader = LeaderChange::Elected(to);
            let change = PartitionChange { leader, ..PartitionChange::of(image.topic().id, partition.index) };
            self.apply(&[MetadataRecord::PartitionChange(change)]);
        }
    }

    /// The partition is to be on these brokers; none: where it was before.
    pub(super) fn reassign(&mut self, replicas: Option<Vec<BrokerId>>) {
        let partition = TopicPartition::new(TOPIC, 0);
        self.ask(&ControllerRequest::AlterPartitionReassignments(AlterPartitionReassignments {
            partitions: vec![Reassignment { partition, replicas }],
            allows_replication_factor_change: true,
        }));
    }

    pub(super) fn set_min_insync_replicas(&mut self, min_insync_replicas: usize) {
        let value = min_insync_replicas.to_string();
        let configs = BTreeMap::from([(MIN_INSYNC_REPLICAS.to_owned(), value)]);
        let resource = ConfigResource::Topic(TOPIC.to_owned());
        self.ask(&ControllerRequest::AlterConfigs(AlterConfigs {
            resources: vec![AlterResource { resource, change: ConfigChange::Replace(configs) }],
            validate_only: false,
        }));
    }

    pub(super) fn alter_partition(
        &mut self,
        broker_id: BrokerId,
        broker_epoch: BrokerEpoch,
        proposal: &IsrProposal,
    ) -> Answer {
        let proposal = PartitionProposal {
            topic_id: self.latest().topic().id,
            partition: PartitionIndex(0),
            proposal: proposal.clone(),
        };
        let request = AlterPartition { broker_id, broker_epoch, partitions: vec![proposal] };
        match self.ask(&ControllerRequest::AlterPartition(request)) {
            ControllerReply::AlterPartition(Err(_)) => Answer::Stale,
            ControllerReply::AlterPartition(Ok(changes)) => match &changes[0].result {
                Ok(_) => Answer::Done,
                Err(AlterPartitionError::IneligibleReplica { .. }) => Answer::Ineligible,
                Err(_) => Answer::Stale,
            },
            other => panic!("{other:?}"),
        }
    }
}
