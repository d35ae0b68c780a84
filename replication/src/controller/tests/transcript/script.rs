//! What the lines of a transcript do, and how what comes of them is written.

use crate::controller::brokers::{RegisterBroker, UnregisterBroker};
use crate::controller::elections::{ElectLeaders, ElectionType};
use crate::controller::fencing::{BrokerState, ChangeBrokerState};
use crate::controller::growth::GrowReplicas;
use crate::controller::isr::{AlterPartition, PartitionProposal};
use crate::controller::partitions::{CreatePartitions, MorePartitions};
use crate::controller::reassignments::{AlterPartitionReassignments, Reassignment};
use crate::controller::tests::{Controller, change, named};
use crate::controller::topics::NewTopic;
use crate::controller::{ControllerReply, ControllerRequest, configs::ConfigOperation};
use crate::leader::IsrProposal;
use crate::metadata::image::{MetadataImage, PartitionImage};
use crate::metadata::record::{BrokerRegistration, ConfigResource};
use std::collections::BTreeMap;
use storage::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicPartition};

/// The controller of a set, and how often its nodes have started.
pub(super) struct Script {
    controller: Controller,
    starts: u128,
}

impl Script {
    pub(super) fn new() -> Self {
        Self { controller: Controller::new(0), starts: 0 }
    }

    /// Carries out one line; what comes of it, a line each.
    pub(super) fn run(&mut self, command: &str) -> Vec<String> {
        let before = self.controller.image.clone();
        let words: Vec<&str> = command.split_whitespace().collect();
        let said = match words.as_slice() {
            ["node", id, rest @ ..] => self.node(broker(id), rest),
            ["topic", name, rest @ ..] => self.topic(name, rest),
            ["partitions", name, count] => self.partitions(name, count),
            ["set", topic, "min.insync.replicas", value] => self.set_min(topic, value),
            ["leader", "of", partition, "asks", "for", "isr", isr, rest @ ..] => {
                self.isr(partition, isr, rest)
            }
            ["elect", kind, partitions] => self.elect(kind, partitions),
            ["move", partition, "to", replicas] => self.reassign(partition, Some(brokers(replicas))),
            ["cancel", partition] => self.reassign(partition, None),
            ["balance"] => said(&self.controller.ask(&ControllerRequest::BalanceLeaders)),
            ["grow", "to", factor] => self.grow(factor),
            ["show", partition] => return vec![self.show(partition)],
            _ => panic!("no such line: {command}"),
        };
        said.into_iter().chain(differences(&before, &self.controller.image)).collect()
    }

    fn epoch(&self, broker_id: BrokerId) -> BrokerEpoch {
        self.controller.image.broker(broker_id).map_or(BrokerEpoch(-1), |broker| broker.broker_epoch)
    }

    fn node(&mut self, broker_id: BrokerId, words: &[&str]) -> Vec<String> {
        let to = match words {
            ["starts", options @ ..] => return self.start(broker_id, options),
            ["leaves", "for", "good"] => {
                let request = ControllerRequest::UnregisterBroker(UnregisterBroker { broker_id });
                return said(&self.controller.ask(&request));
            }
            ["is", "ready"] => BrokerState::Unfenced,
            ["is", "silent"] => BrokerState::Fenced,
            ["stops"] => BrokerState::ShuttingDown,
            _ => panic!("no such thing of a node: {words:?}"),
        };
        let broker_epoch = self.epoch(broker_id);
        let request = ChangeBrokerState { broker_id, broker_epoch, to };
        said(&self.controller.ask(&ControllerRequest::ChangeBrokerState(request)))
    }

    fn start(&mut self, broker_id: BrokerId, options: &[&str]) -> Vec<String> {
        self.starts += 1;
        let option = |name: &str| options.iter().find_map(|word| word.strip_prefix(name));
        let disk = option("disk=").map_or(broker_id.0 as u128, |disk| disk.parse().expect("a number"));
        let request = RegisterBroker {
            broker_id,
            incarnation: uuid::Uuid::from_u128(self.starts),
            endpoints: Vec::new(),
            rack: option("rack=").map(str::to_owned),
            directory_id: uuid::Uuid::from_u128(disk),
            starts_fenced: !options.contains(&"alone"),
            was_clean: !options.contains(&"unclean"),
        };
        said(&self.controller.ask(&ControllerRequest::RegisterBroker(request)))
    }

    fn topic(&mut self, name: &str, words: &[&str]) -> Vec<String> {
        let topic = match words {
            ["on", replicas] => NewTopic {
                assignments: (0..).map(PartitionIndex).zip(replicas.split('/').map(brokers)).collect(),
                ..named(name)
            },
            ["by", "default"] => named(name),
            _ => panic!("no such topic: {words:?}"),
        };
        match self.controller.create(topic) {
            Ok(_) => Vec::new(),
            Err(error) => vec![error.to_string()],
        }
    }

    fn partitions(&mut self, name: &str, count: &str) -> Vec<String> {
        let topic = MorePartitions {
            name: name.to_owned(),
            count: count.parse().expect("a number"),
            assignments: None,
        };
        let request = CreatePartitions { topics: vec![topic], validate_only: false };
        said(&self.controller.ask(&ControllerRequest::CreatePartitions(request)))
    }

    fn set_min(&mut self, topic: &str, value: &str) -> Vec<String> {
        let set = change("min.insync.replicas", ConfigOperation::Set, Some(value));
        match self.controller.alter(ConfigResource::Topic(topic.to_owned()), set) {
            Ok(()) => Vec::new(),
            Err(error) => vec![error.to_string()],
        }
    }

    /// The leader names the state that the metadata has, and the newest runs, unless the line says otherwise.
    fn isr(&mut self, name: &str, isr: &str, options: &[&str]) -> Vec<String> {
        let name = partition(name);
        let topic = self.controller.image.topic_by_name(&name.topic).expect("the topic is there");
        let state = topic.partition(name.partition).expect("the partition is there");
        let option =
            |text: &str| options.iter().find_map(|word| word.strip_prefix(text)?.parse::<i64>().ok());
        let run = |id| (id, option("runs=").map_or_else(|| self.epoch(id), BrokerEpoch));
        let proposal = IsrProposal {
            leader_epoch: LeaderEpoch(
                option("leader_epoch=").map_or(state.leader_epoch.0, |epoch| epoch as i32),
            ),
            partition_epoch: PartitionEpoch(
                option("partition_epoch=").map_or(state.partition_epoch.0, |epoch| epoch as i32),
            ),
            isr: brokers(isr).into_iter().map(run).collect(),
        };
        let broker_id =
            option("asker=").map(|id| BrokerId(id as i32)).or(state.leader).expect("it has a leader");
        let request = AlterPartition {
            broker_id,
            broker_epoch: option("asker_epoch=").map_or_else(|| self.epoch(broker_id), BrokerEpoch),
            partitions: vec![PartitionProposal { topic_id: topic.id, partition: name.partition, proposal }],
        };
        said(&self.controller.ask(&ControllerRequest::AlterPartition(request)))
    }

    fn elect(&mut self, kind: &str, partitions: &str) -> Vec<String> {
        let election_type = match kind {
            "preferred" => ElectionType::Preferred,
            "unclean" => ElectionType::Unclean,
            _ => panic!("no such election: {kind}"),
        };
        let partitions = (partitions != "all").then(|| vec![partition(partitions)]);
        said(
            &self
                .controller
                .ask(&ControllerRequest::ElectLeaders(ElectLeaders { election_type, partitions })),
        )
    }

    fn reassign(&mut self, name: &str, replicas: Option<Vec<BrokerId>>) -> Vec<String> {
        let request = AlterPartitionReassignments {
            partitions: vec![Reassignment { partition: partition(name), replicas }],
            allows_replication_factor_change: true,
        };
        said(&self.controller.ask(&ControllerRequest::AlterPartitionReassignments(request)))
    }

    fn grow(&mut self, factor: &str) -> Vec<String> {
        let request = GrowReplicas {
            default_replication_factor: factor.parse().expect("a number"),
            replication_factors: BTreeMap::new(),
        };
        said(&self.controller.ask(&ControllerRequest::GrowReplicas(request)))
    }

    fn show(&self, name: &str) -> String {
        let name = partition(name);
        let state = self.controller.image.partition(&name.topic, name.partition).expect("it is there");
        format!("{name}: {}", written(state))
    }
}

/// What a reply says beyond what the metadata shows.
fn said(reply: &ControllerReply) -> Vec<String> {
    fn refusals<'a, E: std::fmt::Display + 'a>(
        results: impl Iterator<Item = &'a Result<(), E>>,
    ) -> Vec<String> {
        results.filter_map(|result| result.as_ref().err().map(ToString::to_string)).collect()
    }
    match reply {
        ControllerReply::RegisterBroker(Err(error)) => vec![error.to_string()],
        ControllerReply::ChangeBrokerState(Ok(change)) if change.leads > 0 => {
            vec![format!("it leads {}", change.leads)]
        }
        ControllerReply::ChangeBrokerState(Err(error)) | ControllerReply::AlterPartition(Err(error)) => {
            vec![error.to_string()]
        }
        ControllerReply::UnregisterBroker(result) => refusals(std::iter::once(result)),
        ControllerReply::AlterPartition(Ok(results)) => results
            .iter()
            .filter_map(|change| change.result.as_ref().err())
            .map(ToString::to_string)
            .collect(),
        ControllerReply::ElectLeaders(results) => refusals(results.iter().map(|election| &election.result)),
        ControllerReply::AlterPartitionReassignments(results) => {
            refusals(results.iter().map(|change| &change.result))
        }
        ControllerReply::CreatePartitions(results) => refusals(results.iter().map(|topic| &topic.result)),
        _ => Vec::new(),
    }
}

fn differences(before: &MetadataImage, after: &MetadataImage) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, broker) in after.brokers() {
        if before.broker(*id) != Some(broker) {
            lines.push(format!("node {id} {}", standing(broker)));
        }
    }
    let gone = before.brokers().keys().filter(|id| after.broker(**id).is_none());
    lines.extend(gone.map(|id| format!("node {id} is forgotten")));
    for topic in after.topics() {
        for state in &topic.partitions {
            if before.partition(&topic.name, state.index) != Some(state) {
                lines.push(format!("{}-{}: {}", topic.name, state.index, written(state)));
            }
        }
    }
    lines
}

fn standing(broker: &BrokerRegistration) -> &'static str {
    match (broker.is_fenced, broker.is_shutting_down) {
        (true, _) => "is fenced",
        (false, true) => "is stopping",
        (false, false) => "is active",
    }
}

fn written(state: &PartitionImage) -> String {
    let leader = state.leader.map_or("nobody leads".to_owned(), |leader| format!("{leader} leads"));
    let mut text = format!("{leader} in epoch {}, isr {}", state.leader_epoch, list(&state.isr));
    for (name, brokers) in [
        ("eligible", &state.eligible_leader_replicas),
        ("last known", &state.last_known_eligible_leader_replicas),
        ("adding", &state.adding_replicas),
        ("removing", &state.removing_replicas),
    ] {
        if !brokers.is_empty() {
            text.push_str(&format!(", {name} {}", list(brokers)));
        }
    }
    format!("{text}, of {}", list(&state.replicas))
}

fn list(brokers: &[BrokerId]) -> String {
    match brokers {
        [] => "none".to_owned(),
        brokers => brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

fn broker(text: &str) -> BrokerId {
    BrokerId(text.parse().expect("the number of a node"))
}

fn brokers(text: &str) -> Vec<BrokerId> {
    text.split(',').map(broker).collect()
}

fn partition(text: &str) -> TopicPartition {
    let (topic, index) = text.rsplit_once('-').expect("a topic and a number");
    TopicPartition::new(topic, index.parse().expect("the number of a partition"))
}
