//! Clients of the classic protocol that do what real ones do, for the properties.

use bytes::Bytes;

use super::Broker;
use crate::error::GroupError;
use crate::ids::{GenerationId, GroupId, InstanceId, MemberId};
use crate::output::ReplyTo;
use crate::request::{
    Heartbeat, JoinGroup, JoinedGroup, LeaveGroup, LeavingMember, Reply, Request, SyncGroup, SyncedGroup,
};

/// What a client does at the moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// It is to join.
    Out,
    /// It waits for the answer to JoinGroup.
    Joining(ReplyTo),
    /// It is to ask for its assignment; the leader knows the members.
    Joined(Vec<MemberId>),
    /// It waits for the answer to SyncGroup.
    Syncing(ReplyTo),
    /// It owns something.
    In(Bytes),
    /// It waits for the answer to Heartbeat, and owns something.
    Beating(ReplyTo, Bytes),
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) group_id: GroupId,
    pub(crate) instance_id: Option<InstanceId>,
    pub(crate) member_id: Option<MemberId>,
    pub(crate) generation_id: GenerationId,
    pub(crate) phase: Phase,
}

impl Client {
    pub(crate) fn new(name: &str, group_id: &str, is_static: bool) -> Self {
        Self {
            name: name.to_owned(),
            group_id: group_id.into(),
            instance_id: is_static.then(|| name.into()),
            member_id: None,
            generation_id: GenerationId::NONE,
            phase: Phase::Out,
        }
    }

    /// The member that it is, or none.
    pub(crate) fn member(&self) -> MemberId {
        self.member_id.clone().unwrap_or_else(|| MemberId::from(""))
    }

    /// Does the next thing that a client would do. Whether that was to ask something.
    pub(crate) fn step(&mut self, broker: &mut Broker) {
        match self.phase.clone() {
            Phase::Out => self.phase = Phase::Joining(self.join(broker)),
            Phase::Joined(members) => self.phase = Phase::Syncing(self.sync(broker, &members)),
            Phase::In(owned) => self.phase = Phase::Beating(self.beat(broker), owned),
            Phase::Joining(_) | Phase::Syncing(_) | Phase::Beating(..) => {}
        }
    }

    /// Forgets who it was, as a process that starts anew.
    pub(crate) fn restart(&mut self) {
        self.member_id = None;
        self.generation_id = GenerationId::NONE;
        self.phase = Phase::Out;
    }

    /// Says that it goes.
    pub(crate) fn leave(&mut self, broker: &mut Broker) {
        let member = LeavingMember {
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            reason: None,
        };
        broker
            .ask(Request::LeaveGroup(LeaveGroup { group_id: self.group_id.clone(), members: vec![member] }));
        self.restart();
    }

    /// Takes an answer that it waits for.
    pub(crate) fn hear(&mut self, reply_to: ReplyTo, reply: Option<&Reply>) {
        match (&self.phase, reply) {
            (Phase::Joining(to), reply) if *to == reply_to => match reply {
                Some(Reply::JoinGroup(Ok(joined))) => self.joined(joined),
                Some(Reply::JoinGroup(Err(error))) => self.refused(error),
                _ => self.phase = Phase::Out,
            },
            (Phase::Syncing(to), reply) if *to == reply_to => match reply {
                Some(Reply::SyncGroup(Ok(SyncedGroup { assignment, .. }))) => {
                    self.phase = Phase::In(assignment.clone());
                }
                Some(Reply::SyncGroup(Err(error))) => self.refused(error),
                _ => self.phase = Phase::Out,
            },
            (Phase::Beating(to, owned), reply) if *to == reply_to => match reply {
                Some(Reply::Heartbeat(Err(error))) => self.refused(error),
                _ => self.phase = Phase::In(owned.clone()),
            },
            _ => {}
        }
    }

    fn joined(&mut self, joined: &JoinedGroup) {
        self.member_id = Some(joined.member_id.clone());
        self.generation_id = joined.generation_id;
        let members = joined.members.iter().filter(|_| !joined.skip_assignment);
        self.phase = Phase::Joined(members.map(|member| member.member_id.clone()).collect());
    }

    fn refused(&mut self, error: &GroupError) {
        self.phase = Phase::Out;
        match error {
            GroupError::MemberIdRequired(member_id) => self.member_id = Some(member_id.clone()),
            GroupError::UnknownMemberId(_)
            | GroupError::FencedInstanceId
            | GroupError::GroupMaxSizeReached(_) => {
                self.restart();
            }
            _ => {}
        }
    }

    fn join(&self, broker: &mut Broker) -> ReplyTo {
        broker.ask(Request::JoinGroup(JoinGroup {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            client_id: self.name.as_str().into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::new())],
            requires_known_member_id: true,
            supports_skipping_assignment: true,
        }))
    }

    /// Asks for its assignment; a leader assigns to each member what nobody else is to have.
    fn sync(&self, broker: &mut Broker, members: &[MemberId]) -> ReplyTo {
        let unique = |member_id: &MemberId| Bytes::from(format!("{} in {}", member_id, self.generation_id));
        broker.ask(Request::SyncGroup(SyncGroup {
            group_id: self.group_id.clone(),
            generation_id: self.generation_id,
            member_id: self.member(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: None,
            protocol_name: None,
            assignments: members.iter().map(|member_id| (member_id.clone(), unique(member_id))).collect(),
        }))
    }

    fn beat(&self, broker: &mut Broker) -> ReplyTo {
        broker.ask(Request::Heartbeat(Heartbeat {
            group_id: self.group_id.clone(),
            generation_id: self.generation_id,
            member_id: self.member(),
            group_instance_id: self.instance_id.clone(),
        }))
    }
}
