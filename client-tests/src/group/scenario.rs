//! The life of a group, the same for every client: members come, one dies, one hangs, one leaves, all start again,
//! while records flow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::admin::committed_offsets;
use super::client::{GroupClient, HEARTBEAT_INTERVAL_MS, Membership, SESSION_TIMEOUT_MS};
use super::flow::Flow;
use super::journal::Journal;
use super::member::Member;
use crate::ledger::Ledger;
use crate::target::unique_topic;
use crate::wait::wait_until;
use crate::wire::{self, Connection};

const PARTITIONS: i32 = 6;
/// The longest that a group may take to come to rest: a dead member's session and a rebalance, on a busy machine.
const REST_LIMIT: Duration = Duration::from_secs(40);
/// The longest that a record may wait to be processed by a group at rest.
const RECORD_LIMIT: Duration = Duration::from_secs(20);

/// Runs the scenario:
///
/// 1. one member, then three, share the partitions evenly;
/// 2. one is killed and another paused past its session: the third takes everything over;
/// 3. the paused one is resumed and a new one comes: evenly again;
/// 4. one leaves, and the two that stay share; both leave, and what the broker acknowledged is committed;
/// 5. two new members begin exactly there.
///
/// In the end every record was processed, and [`Journal`] found nothing wrong.
///
/// # Errors
/// When a claim fails; the error says what the members held and said.
pub fn members_come_and_go_while_records_flow(bootstrap: &str, client: GroupClient) -> Result<()> {
    let Some(mut group) = Group::of(bootstrap, client)? else { return Ok(()) };
    let outcome = group.live();
    outcome.with_context(|| group.journal.summary())
}

struct Group {
    client: GroupClient,
    membership: Membership,
    connection: Connection,
    journal: Arc<Journal>,
    members: Vec<Member>,
    started: usize,
}

impl Group {
    fn of(bootstrap: &str, client: GroupClient) -> Result<Option<Group>> {
        let mut connection = Connection::open(bootstrap)?;
        let topic = unique_topic("group-topic");
        // The records carry old timestamps.
        let created = wire::create_topic(&mut connection, &topic, PARTITIONS, &[("retention.ms", "-1")])?;
        ensure!(created == 0, "CreateTopics answered {created}");
        let membership = Membership {
            bootstrap: bootstrap.to_owned(),
            group: unique_topic("group"),
            topic,
            protocol: client.protocol(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
        };
        if client.command(&membership)?.is_none() {
            return Ok(None);
        }
        let journal = Arc::new(Journal::default());
        Ok(Some(Group { client, membership, connection, journal, members: Vec::new(), started: 0 }))
    }

    fn live(&mut self) -> Result<()> {
        let topic = self.membership.topic.clone();
        let mut flow = Flow::start(&self.membership.bootstrap, &topic, usize::try_from(PARTITIONS)?)?;
        self.start(1)?;
        self.rest("one member has everything")?;
        self.start(2)?;
        self.rest("three members share")?;

        self.members.remove(0).kill()?;
        let paused = self.members.remove(0);
        paused.pause()?;
        self.rest("one member takes over from a dead and a paused one")?;
        self.members.push(paused);
        self.members.last().context("just pushed")?.resume()?;
        self.start(1)?;
        self.rest("the resumed member and a new one have their share")?;

        self.leave(1, &flow)?;
        self.rest("two members share what a third has left")?;
        self.leave(2, &flow)?;
        let resume_at = self.expect_commits()?;

        let first = self.start(2)?;
        self.rest("two new members share")?;
        let began = self.journal.first_of(&[first, first + 1]);
        ensure!(began == resume_at, "committed {resume_at:?}, began at {began:?}");
        flow.finish()?;
        self.drain(&flow.ledger())?;
        self.leave(2, &flow)
    }

    /// Starts `count` members and returns the first one's index.
    fn start(&mut self, count: usize) -> Result<usize> {
        let first = self.started;
        for _ in 0..count {
            let command = self.client.command(&self.membership)?.context("the client was there before")?;
            let member = Member::start(self.started, command, self.client.dialect(), &self.journal)?;
            self.members.push(member);
            self.started += 1;
        }
        Ok(first)
    }

    /// Waits until each partition has one owner and members have equal shares, and then until each partition moves on.
    fn rest(&mut self, what: &str) -> Result<()> {
        self.wait(REST_LIMIT, what, |group| Ok(group.is_shared_evenly()))?;
        let ends: Vec<i64> = (0..PARTITIONS).map(|partition| self.journal.processed_end(partition)).collect();
        self.wait(RECORD_LIMIT, &format!("records are processed where {what}"), |group| {
            let mut places = (0..PARTITIONS).zip(&ends);
            Ok(places.all(|(partition, end)| group.journal.processed_end(partition) > *end))
        })
    }

    fn is_shared_evenly(&self) -> bool {
        let shares: Vec<BTreeSet<i32>> =
            self.members.iter().map(|member| self.journal.held_by(member.index())).collect();
        let even = PARTITIONS as usize / shares.len().max(1);
        let owned: BTreeSet<&i32> = shares.iter().flatten().collect();
        shares.iter().all(|share| share.len() == even) && owned.len() == PARTITIONS as usize
    }

    fn wait(&mut self, limit: Duration, what: &str, holds: impl Fn(&Group) -> Result<bool>) -> Result<()> {
        wait_until(limit, what, || {
            self.journal.check()?;
            self.members.iter_mut().try_for_each(Member::check)?;
            holds(self)
        })
    }

    /// Asks the first `count` members to leave, all at once, and waits until they are gone.
    fn leave(&mut self, count: usize, flow: &Flow) -> Result<()> {
        let ledger = self.client.drops_records_on_leaving().then(|| flow.ledger());
        if let Some(ledger) = &ledger {
            self.drain(ledger)?;
        }
        let leaving: Vec<Member> = self.members.drain(..count).collect();
        leaving.iter().try_for_each(Member::ask_to_leave)?;
        leaving.into_iter().try_for_each(Member::wait_until_gone)
    }

    /// Waits until every acknowledged record is processed.
    fn drain(&mut self, ledger: &Ledger) -> Result<()> {
        self.wait(RECORD_LIMIT, "every record is processed", |group| {
            Ok((0..PARTITIONS).zip(0..).all(|(partition, index)| {
                group.journal.first_missing(partition, ledger.acknowledged_end(index)).is_none()
            }))
        })
    }

    /// Checks that no acknowledged commit is lost, and returns what is committed.
    fn expect_commits(&mut self) -> Result<BTreeMap<i32, i64>> {
        let Membership { group, topic, .. } = &self.membership;
        let stored = committed_offsets(&mut self.connection, group, topic, PARTITIONS)?;
        for (partition, acknowledged) in self.journal.committed() {
            let stored = stored.get(&partition).copied().unwrap_or(-1);
            ensure!(stored >= acknowledged, "{partition} is at {stored}, acknowledged was {acknowledged}");
        }
        for (&partition, &offset) in &stored {
            let missing = self.journal.first_missing(partition, offset);
            ensure!(missing.is_none(), "{partition} is committed to {offset}, {missing:?} was not processed");
        }
        Ok(stored)
    }
}
