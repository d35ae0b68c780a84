//! The life of a group, the same for every client: members come, one dies, one hangs, one leaves, all start again,
//! while records flow.

use anyhow::{Result, ensure};

use super::client::{GroupClient, SESSION_TIMEOUT_MS};
use super::flow::Flow;
use super::running::RunningGroup;

/// Runs the scenario:
///
/// 1. one member, then three, share the partitions evenly;
/// 2. one is killed and another paused past its session: the third takes everything over;
/// 3. the paused one is resumed and a new one comes: evenly again;
/// 4. one leaves, and the two that stay share; both leave, and what the broker acknowledged is committed;
/// 5. two new members begin exactly there.
///
/// In the end every record was processed, and the journal found nothing wrong.
///
/// # Errors
/// When a claim fails; the error says what the members held and said.
pub fn members_come_and_go_while_records_flow(bootstrap: &str, client: GroupClient) -> Result<()> {
    let Some(mut group) = RunningGroup::new(bootstrap, client)? else { return Ok(()) };
    let mut flow = Flow::start(bootstrap, group.topic())?;
    group.start(1)?;
    group.rest("one member has everything")?;
    group.expect_protocol()?;
    group.start(2)?;
    group.rest("three members share")?;

    group.kill(0)?;
    let paused = group.pause(0)?;
    group.rest("one member takes over from a dead and a paused one")?;
    group.resume(paused)?;
    group.start(1)?;
    group.rest("the resumed member and a new one have their share")?;

    leave(&mut group, 1, &flow)?;
    group.rest("two members share what a third has left")?;
    leave(&mut group, 2, &flow)?;
    let resume_at = group.expect_commits()?;

    let first = group.start(2)?;
    group.rest("two new members share")?;
    let began = group.journal().first_of(&[first, first + 1]);
    ensure!(began == resume_at, "committed {resume_at:?}, began at {began:?}");
    flow.finish()?;
    group.drain(&flow.ledger().acknowledged_ends())?;
    leave(&mut group, 2, &flow)
}

/// How often the member is taken out.
const TAKEN_OUT: usize = 5;
/// The heartbeat interval of the member that is taken out, in milliseconds: so long that it learns of it from a commit.
const RARE_HEARTBEAT_MS: u32 = 2_000;
/// That of the member that stays: so short that it takes over before the other one is back.
const FREQUENT_HEARTBEAT_MS: u32 = 300;

/// Runs a second scenario, of a group of the classic protocol: an administrator takes one of two members out while records
/// flow, again and again. It comes back, and goes on no earlier than what the other one has committed meanwhile.
///
/// # Errors
/// When a claim fails; the error says what the members held and said.
pub fn member_is_taken_out_while_records_flow(bootstrap: &str, client: GroupClient) -> Result<()> {
    let Some(group) = RunningGroup::new(bootstrap, client)? else { return Ok(()) };
    let mut flow = Flow::start(bootstrap, group.topic())?;
    let mut group = group.with_session(SESSION_TIMEOUT_MS, RARE_HEARTBEAT_MS);
    group.start(1)?;
    group.rest("one member has everything")?;
    let taken_out = group.member_ids()?;
    let mut group = group.with_session(SESSION_TIMEOUT_MS, FREQUENT_HEARTBEAT_MS);
    group.start(1)?;
    group.rest("two members share")?;
    let staying = &group.member_ids()? - &taken_out;
    for _ in 0..TAKEN_OUT {
        group.take_out_all_but(&staying)?;
        group.rest("the member that was taken out is back")?;
    }
    flow.finish()?;
    group.drain(&flow.ledger().acknowledged_ends())?;
    leave(&mut group, 2, &flow)?;
    group.expect_commits().map(drop)
}

/// Lets members leave; where the client drops what it is at while it leaves, it has nothing to do then.
fn leave(group: &mut RunningGroup, count: usize, flow: &Flow) -> Result<()> {
    let standing_still = group.client().drops_records_on_leaving().then(|| flow.ledger());
    if let Some(ledger) = &standing_still {
        group.drain(&ledger.acknowledged_ends())?;
    }
    group.leave(count)
}
