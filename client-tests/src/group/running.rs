//! A group of one client on one topic: its members, and what is expected of all of them together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kafka_protocol::protocol::StrBytes;

use super::admin::{
    committed_offsets, coordinator, create_served_topic, group_type, stable_members, take_out,
};
use super::client::{GroupClient, HEARTBEAT_INTERVAL_MS, Membership, Protocol, SESSION_TIMEOUT_MS};
use super::journal::Journal;
use super::member::Member;
use crate::target::unique_topic;
use crate::wait::wait_until;
use crate::wire::Connection;

/// The partitions of a group's topic: members in twos and threes share them evenly.
pub const PARTITIONS: i32 = 6;
/// The longest that a group may take to come to rest: a dead member's session and a rebalance, on a busy machine.
const REST_LIMIT: Duration = Duration::from_secs(40);
/// The longest that a record may wait to be processed by a group at rest.
const RECORD_LIMIT: Duration = Duration::from_secs(30);

/// A group and those of its members that run.
#[derive(Debug)]
pub struct RunningGroup {
    client: GroupClient,
    membership: Membership,
    journal: Arc<Journal>,
    members: Vec<Member>,
    started: usize,
}

impl RunningGroup {
    /// A group without members, on a topic of its own; or a skip as `tools::missing` has it.
    ///
    /// # Errors
    /// When the broker refuses, or the client is missing where `CI` is set.
    pub fn new(bootstrap: &str, client: GroupClient) -> Result<Option<RunningGroup>> {
        let group = RunningGroup::on_topic(bootstrap, client, &unique_topic("group-topic"))?;
        if let Some(group) = &group {
            let mut connection = coordinator(bootstrap, group.name())?;
            create_served_topic(&mut connection, group.topic(), PARTITIONS)?;
        }
        Ok(group)
    }

    /// A group without members, on a topic with [`PARTITIONS`] partitions that is there; or a skip.
    ///
    /// # Errors
    /// When the client is missing where `CI` is set.
    pub fn on_topic(bootstrap: &str, client: GroupClient, topic: &str) -> Result<Option<RunningGroup>> {
        let membership = Membership {
            bootstrap: bootstrap.to_owned(),
            group: unique_topic("group"),
            topic: topic.to_owned(),
            protocol: client.protocol(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
        };
        if client.command(&membership)?.is_none() {
            return Ok(None);
        }
        let journal = Arc::new(Journal::default());
        Ok(Some(RunningGroup { client, membership, journal, members: Vec::new(), started: 0 }))
    }

    /// The group with shorter sessions of the classic protocol.
    #[must_use]
    pub fn with_session(mut self, session_timeout_ms: u32, heartbeat_interval_ms: u32) -> RunningGroup {
        self.membership.session_timeout_ms = session_timeout_ms;
        self.membership.heartbeat_interval_ms = heartbeat_interval_ms;
        self
    }

    /// Lets the members that are started from now on be of another client, or speak another protocol.
    ///
    /// # Errors
    /// Where `CI` is set and the client is missing.
    pub fn continue_with(&mut self, client: GroupClient) -> Result<()> {
        self.client = client;
        self.membership.protocol = client.protocol();
        self.client
            .command(&self.membership)?
            .context("a client is missing in the middle of a test")
            .map(drop)
    }

    /// The client that its new members are.
    #[must_use]
    pub fn client(&self) -> GroupClient {
        self.client
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.membership.group
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.membership.topic
    }

    /// What the members said.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// How many members run.
    #[must_use]
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Starts `count` members and returns the first one's index in the journal.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(&mut self, count: usize) -> Result<usize> {
        let first = self.started;
        for _ in 0..count {
            let command = self.client.command(&self.membership)?.context("the client was there before")?;
            let member = Member::start(self.started, command, self.client.dialect(), &self.journal)?;
            self.members.push(member);
            self.started += 1;
        }
        Ok(first)
    }

    /// Kills the member at this place, in the order of their start.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn kill(&mut self, place: usize) -> Result<()> {
        self.members.remove(place).kill()
    }

    /// Pauses the member at this place; until it is given back with [`RunningGroup::resume`], nothing is expected of it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&mut self, place: usize) -> Result<Member> {
        let member = self.members.remove(place);
        member.pause()?;
        Ok(member)
    }

    /// Lets a paused member run on.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&mut self, member: Member) -> Result<()> {
        member.resume()?;
        self.members.push(member);
        Ok(())
    }

    /// The ids of the members of a group of the classic protocol, once all that run are in it.
    ///
    /// # Errors
    /// When that does not come.
    pub fn member_ids(&mut self) -> Result<BTreeSet<StrBytes>> {
        self.member_ids_when("all members are in the group", |_| true)
    }

    /// Takes all members but `staying` out of a group of the classic protocol, as an administrator does, and waits until
    /// they are back: a client takes another id.
    ///
    /// # Errors
    /// When the broker refuses, or they do not come back.
    pub fn take_out_all_but(&mut self, staying: &BTreeSet<StrBytes>) -> Result<()> {
        let taken_out = &self.member_ids()? - staying;
        let mut coordinator = self.coordinator()?;
        taken_out.iter().try_for_each(|member| take_out(&mut coordinator, self.name(), member))?;
        self.member_ids_when("those that were taken out are back", |members| members.is_disjoint(&taken_out))
            .map(drop)
    }

    /// Asks the first `count` members to leave, all at once, and waits until they are gone.
    ///
    /// # Errors
    /// When one does not end in time.
    pub fn leave(&mut self, count: usize) -> Result<()> {
        let leaving: Vec<Member> = self.members.drain(..count).collect();
        leaving.iter().try_for_each(Member::ask_to_leave)?;
        leaving.into_iter().try_for_each(Member::wait_until_gone)
    }

    /// Waits until each partition has one owner and shares are even.
    ///
    /// # Errors
    /// When that does not come, or something wrong was said meanwhile.
    pub fn share(&mut self, what: &str) -> Result<()> {
        self.wait(REST_LIMIT, what, |group| Ok(group.is_shared_evenly()))
    }

    /// Checks that the group is of the protocol that its members were told to speak. A client may fall back to the
    /// classic one, and would then show nothing about the other.
    ///
    /// # Errors
    /// When it is not.
    pub fn expect_protocol(&self) -> Result<()> {
        let found = group_type(&mut self.coordinator()?, self.name())?;
        let expected = if self.membership.protocol == Protocol::Consumer { "consumer" } else { "classic" };
        ensure!(found == expected, "the group is of type {found}, not {expected}");
        Ok(())
    }

    /// As [`RunningGroup::share`], and then waits until each partition moves on, for which records have to flow.
    ///
    /// # Errors
    /// As [`RunningGroup::share`].
    pub fn rest(&mut self, what: &str) -> Result<()> {
        self.share(what)?;
        let ends: Vec<i64> = (0..PARTITIONS).map(|partition| self.journal.processed_end(partition)).collect();
        self.wait(RECORD_LIMIT, &format!("records are processed where {what}"), |group| {
            let mut places = (0..PARTITIONS).zip(&ends);
            Ok(places.all(|(partition, end)| group.journal.processed_end(partition) > *end))
        })
    }

    /// Waits until the broker has acknowledged a further commit in each partition, for which records have to flow and the
    /// client has to tell.
    ///
    /// # Errors
    /// As [`RunningGroup::share`].
    pub fn commit_on(&mut self, what: &str) -> Result<()> {
        let before = self.journal.committed();
        self.wait(REST_LIMIT, &format!("commits are acknowledged where {what}"), |group| {
            let now = group.journal.committed();
            Ok((0..PARTITIONS).all(|partition| now.get(&partition) > before.get(&partition)))
        })
    }

    /// Waits until every record below `ends` (exclusive, by partition) is processed.
    ///
    /// # Errors
    /// As [`RunningGroup::share`].
    pub fn drain(&mut self, ends: &[i64]) -> Result<()> {
        self.wait(RECORD_LIMIT, "every record is processed", |group| {
            let mut places = (0..PARTITIONS).zip(ends);
            Ok(places.all(|(partition, end)| group.journal.first_missing(partition, *end).is_none()))
        })
    }

    /// Checks that no acknowledged commit is lost and nothing is committed that was not processed, and returns what
    /// is committed.
    ///
    /// # Errors
    /// When that is not so.
    pub fn expect_commits(&self) -> Result<BTreeMap<i32, i64>> {
        let acknowledged = self.journal.committed();
        let stored = committed_offsets(&mut self.coordinator()?, self.name(), self.topic(), PARTITIONS)?;
        for (partition, acknowledged) in acknowledged {
            let stored = stored.get(&partition).copied().unwrap_or(-1);
            ensure!(stored >= acknowledged, "{partition} is at {stored}, acknowledged was {acknowledged}");
        }
        for (&partition, &offset) in &stored {
            let missing = self.journal.first_missing(partition, offset);
            ensure!(missing.is_none(), "{partition} is committed to {offset}, {missing:?} was not processed");
        }
        Ok(stored)
    }

    /// Whether each partition has one owner among the running members, whose shares differ by one at most.
    fn is_shared_evenly(&self) -> bool {
        let shares: Vec<BTreeSet<i32>> =
            self.members.iter().map(|member| self.journal.held_by(member.index())).collect();
        let sizes = shares.iter().map(BTreeSet::len);
        let even = sizes.clone().max().unwrap_or(0) <= sizes.clone().min().unwrap_or(0) + 1;
        let owned: BTreeSet<&i32> = shares.iter().flatten().collect();
        even && owned.len() == PARTITIONS as usize && sizes.sum::<usize>() == PARTITIONS as usize
    }

    fn member_ids_when(
        &mut self,
        what: &str,
        accepted: impl Fn(&BTreeSet<StrBytes>) -> bool,
    ) -> Result<BTreeSet<StrBytes>> {
        let (mut coordinator, mut found) = (self.coordinator()?, None);
        self.wait(REST_LIMIT, what, |group| {
            found = stable_members(&mut coordinator, group.name(), group.size())?.filter(&accepted);
            Ok(found.is_some())
        })?;
        found.context("the wait has ended with them")
    }

    fn coordinator(&self) -> Result<Connection> {
        coordinator(&self.membership.bootstrap, &self.membership.group)
    }

    fn wait(
        &mut self,
        limit: Duration,
        what: &str,
        mut holds: impl FnMut(&RunningGroup) -> Result<bool>,
    ) -> Result<()> {
        wait_until(limit, what, || {
            self.journal.check()?;
            self.members.iter_mut().try_for_each(Member::check)?;
            holds(self)
        })
        .with_context(|| self.journal.summary())
    }
}
