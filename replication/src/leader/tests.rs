use super::*;
use storage::ids::PartitionIndex;

const NOW: Duration = Duration::from_secs(100);
const LAG: Duration = Duration::from_secs(30);
const EPOCH: LeaderEpoch = LeaderEpoch(4);

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn state(replicas: &[i32], isr: &[i32], partition_epoch: i32) -> PartitionImage {
    PartitionImage {
        index: PartitionIndex(0),
        replicas: ids(replicas).into(),
        isr: ids(isr).into(),
        leader: Some(BrokerId(1)),
        leader_epoch: EPOCH,
        partition_epoch: PartitionEpoch(partition_epoch),
        eligible_leader_replicas: Box::default(),
        last_known_eligible_leader_replicas: Box::default(),
        adding_replicas: Box::default(),
        removing_replicas: Box::default(),
    }
}

/// Broker n runs with epoch 10 n.
fn standing(broker: BrokerId) -> Option<Standing> {
    Some(Standing { broker_epoch: BrokerEpoch(i64::from(broker.0) * 10), may_join_isr: true })
}

fn metadata<'a>(
    partition: &'a PartitionImage,
    brokers: &'a dyn Fn(BrokerId) -> Option<Standing>,
) -> PartitionMetadata<'a> {
    let rules = IsrRules { min_insync_replicas: 2, replica_lag_time_max: LAG };
    PartitionMetadata { partition, rules, brokers }
}

fn ends(durable_end: i64, log_end: i64) -> LogEnds {
    LogEnds {
        log_start_offset: Offset(0),
        durable_end_offset: Offset(durable_end),
        log_end_offset: Offset(log_end),
        latest_epoch: Some(EPOCH),
    }
}

/// Broker 1 leads with a log that ends, and is durable, at 10, and a high watermark of 5.
fn leader(replicas: &[i32], isr: &[i32]) -> Leader {
    let partition = state(replicas, isr, 0);
    Leader::new(BrokerId(1), metadata(&partition, &standing), &ends(10, 10), Offset(5), NOW)
}

fn run(broker: i32) -> BrokerRun {
    BrokerRun { broker_id: BrokerId(broker), broker_epoch: BrokerEpoch(i64::from(broker) * 10) }
}

fn position(fetch_offset: i64, durable_end: i64) -> FetchPosition {
    FetchPosition {
        leader_epoch: EPOCH,
        fetch_offset: Offset(fetch_offset),
        last_fetched_epoch: None,
        durable_end_offset: Offset(durable_end),
        log_start_offset: Offset(0),
    }
}

fn fetch(leader: &mut Leader, from: BrokerRun, fetch_offset: i64, durable_end: i64) {
    let log = ends(10, leader.log_end_offset.0);
    leader.fetch(from, &position(fetch_offset, durable_end), &log, |_| None, NOW).expect("it agrees");
}

fn flush(durable_end: i64) -> FlushReport {
    FlushReport { leader_epoch: EPOCH, durable_end_offset: Offset(durable_end) }
}

#[test]
fn a_single_replica_commits_what_it_has_flushed() {
    let mut leader = leader(&[1], &[1]);
    assert_eq!(leader.high_watermark(), Offset(10), "min.insync.replicas is capped by the replicas");
    leader.local(Offset(20), Offset(15), NOW);
    assert_eq!(leader.high_watermark(), Offset(15));
    assert_eq!(leader.proposal(NOW), None);
    assert_eq!(leader.next_deadline(NOW), None);
}

#[test]
fn durable_ends_are_committed_and_log_ends_are_not() {
    let mut leader = leader(&[1, 2, 3], &[1, 2, 3]);
    leader.local(Offset(20), Offset(20), NOW);
    fetch(&mut leader, run(2), 20, 12);
    assert_eq!(leader.high_watermark(), Offset(5), "broker 3 was not heard");
    fetch(&mut leader, run(3), 18, 14);
    assert_eq!(leader.high_watermark(), Offset(12));
    leader.flushed(run(2), &flush(20), NOW).expect("it counts");
    assert_eq!(leader.high_watermark(), Offset(14));
}

#[test]
fn a_flush_before_the_logs_agreed_does_not_count() {
    let mut leader = leader(&[1, 2], &[1, 2]);
    leader.flushed(run(2), &flush(10), NOW).expect("it is no error");
    assert_eq!(leader.high_watermark(), Offset(5));
    let end = EpochEnd { epoch: LeaderEpoch(2), end_offset: Offset(8) };
    let asked = FetchPosition { last_fetched_epoch: Some(LeaderEpoch(3)), ..position(10, 10) };
    let refusal = leader.fetch(run(2), &asked, &ends(10, 10), |_| Some(end), NOW);
    assert_eq!(refusal, Err(FetchRefusal::Diverging(end)));
    assert_eq!(leader.high_watermark(), Offset(5));
}

#[test]
fn reports_of_strangers_of_earlier_runs_and_of_other_epochs_are_refused() {
    let mut leader = leader(&[1, 2], &[1, 2]);
    let log = ends(10, 10);
    let mut ask = |from, leader_epoch| {
        let asked = FetchPosition { leader_epoch, ..position(10, 10) };
        leader.fetch(from, &asked, &log, |_| None, NOW)
    };
    assert_eq!(ask(run(3), EPOCH), Err(FetchRefusal::NotAReplica));
    assert_eq!(ask(run(1), EPOCH), Err(FetchRefusal::NotAReplica), "a leader follows nobody");
    let earlier = BrokerRun { broker_epoch: BrokerEpoch(19), ..run(2) };
    assert_eq!(ask(earlier, EPOCH), Err(FetchRefusal::StaleBrokerEpoch { registered: BrokerEpoch(20) }));
    assert_eq!(ask(run(2), LeaderEpoch(3)), Err(FetchRefusal::FencedLeaderEpoch { current: EPOCH }));
    assert_eq!(ask(run(2), LeaderEpoch(5)), Err(FetchRefusal::UnknownLeaderEpoch { current: EPOCH }));
    assert_eq!(leader.high_watermark(), Offset(5));
}

#[test]
fn a_log_that_ends_where_the_leaders_starts_is_not_vouched_for() {
    let mut leader = leader(&[1, 2], &[1, 2]);
    let log = LogEnds { log_start_offset: Offset(8), ..ends(10, 10) };
    let older = EpochEnd { epoch: LeaderEpoch(2), end_offset: Offset(8) };
    let asked = FetchPosition { last_fetched_epoch: Some(LeaderEpoch(2)), ..position(8, 8) };
    let refusal = leader.fetch(run(2), &asked, &log, |_| Some(older), NOW);
    let out_of_range = FetchRefusal::OutOfRange { log_start_offset: Offset(8), log_end_offset: Offset(10) };
    assert_eq!(refusal, Err(out_of_range), "its records may be others than those that were deleted here");
    let started_over =
        FetchPosition { last_fetched_epoch: None, log_start_offset: Offset(8), ..position(8, 8) };
    leader.fetch(run(2), &started_over, &log, |_| None, NOW).expect("an empty log agrees");
    assert_eq!(leader.high_watermark(), Offset(8));
}

#[test]
fn the_durable_end_of_a_new_run_counts_anew() {
    let mut leader = leader(&[1, 2], &[1, 2]);
    leader.local(Offset(20), Offset(20), NOW);
    fetch(&mut leader, run(2), 15, 15);
    assert_eq!(leader.high_watermark(), Offset(15));
    let restarted = BrokerRun { broker_epoch: BrokerEpoch(21), ..run(2) };
    fetch(&mut leader, restarted, 8, 8);
    let view = leader.followers().next().expect("it has one");
    assert_eq!(view.durable_end_offset, Some(Offset(8)));
    assert_eq!(leader.high_watermark(), Offset(15), "what a client saw does not go back");
    let log = ends(10, 20);
    let refusal = leader.fetch(run(2), &position(20, 20), &log, |_| None, NOW);
    assert_eq!(refusal, Err(FetchRefusal::StaleBrokerEpoch { registered: BrokerEpoch(21) }));
}

#[test]
fn a_replica_that_is_being_added_joins_like_any_other() {
    let mut leader = leader(&[1, 2], &[1, 2]);
    fetch(&mut leader, run(2), 10, 10);
    let adding = PartitionImage { adding_replicas: ids(&[3]).into(), ..state(&[1, 2, 3], &[1, 2], 1) };
    leader.metadata(metadata(&adding, &standing), NOW);
    fetch(&mut leader, run(3), 4, 4);
    assert_eq!(leader.proposal(NOW), None);
    fetch(&mut leader, run(3), 10, 10);
    let proposal = leader.proposal(NOW).expect("it is caught up");
    assert_eq!(proposal.isr.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(leader.proposal(NOW), None, "one is on its way");
}

#[test]
fn a_partition_that_grows_is_held_to_what_it_had() {
    let partition = PartitionImage { adding_replicas: ids(&[2, 3]).into(), ..state(&[1, 2, 3], &[1], 0) };
    assert_eq!(effective_min_insync_replicas(&partition, 2), 1);
    let leader = Leader::new(BrokerId(1), metadata(&partition, &standing), &ends(10, 10), Offset(5), NOW);
    assert!(leader.is_enough());
    assert_eq!(leader.high_watermark(), Offset(10));
}

#[test]
fn nobody_joins_below_the_start_of_the_epoch() {
    let partition = state(&[1, 2, 3], &[1, 2], 0);
    let mut leader = Leader::new(BrokerId(1), metadata(&partition, &standing), &ends(10, 10), Offset(5), NOW);
    fetch(&mut leader, run(3), 9, 9);
    assert_eq!(leader.high_watermark(), Offset(5));
    assert_eq!(leader.proposal(NOW), None, "records 5 to 9 may be committed, and 9 is not there");
    assert!(!leader.is_latest_offset_available());
    fetch(&mut leader, run(3), 10, 10);
    assert!(leader.proposal(NOW).is_some());
}

#[test]
fn a_follower_that_was_idle_for_long_does_not_lag_when_a_record_comes() {
    let mut leader = leader(&[1, 2], &[1, 2]);
    fetch(&mut leader, run(2), 10, 10);
    let later = NOW + Duration::from_secs(3_600);
    leader.local(Offset(11), Offset(11), later);
    assert_eq!(leader.proposal(later), None);
    assert_eq!(leader.next_deadline(later), Some(later + LAG));
    leader.on_deadline(later + LAG);
    let shrunk = leader.proposal(later + LAG).expect("the follower did not move");
    assert_eq!(shrunk.isr, [(BrokerId(1), BrokerEpoch(10))]);
}

#[test]
fn a_refused_proposal_is_made_again_after_a_while_and_members_to_be_count_until_it_is_settled() {
    let mut leader = leader(&[1, 2, 3], &[1, 2]);
    for broker in [2, 3] {
        fetch(&mut leader, run(broker), 10, 10);
    }
    let proposal = leader.proposal(NOW).expect("3 is caught up");
    leader.local(Offset(20), Offset(20), NOW);
    fetch(&mut leader, run(2), 20, 20);
    assert_eq!(leader.high_watermark(), Offset(10), "3 may be a member");
    leader.proposal_failed(&proposal, ProposalOutcome::Unknown, NOW);
    let later = leader.next_deadline(NOW).expect("it is sent again");
    assert_eq!(leader.proposal(NOW), None);
    assert_eq!(leader.proposal(later).as_ref(), Some(&proposal));
    leader.proposal_failed(&proposal, ProposalOutcome::Ineligible, later);
    assert_eq!(leader.high_watermark(), Offset(10), "the copy that was sent first may still arrive");
    let later = leader.next_deadline(later).expect("it is withdrawn");
    let withdrawal = leader.proposal(later).expect("it is withdrawn");
    assert_eq!(withdrawal.isr.len(), 2);
    let settled = state(&[1, 2, 3], &[1, 2], 1);
    leader.metadata(metadata(&settled, &standing), later + JOIN_PATIENCE);
    assert_eq!(leader.high_watermark(), Offset(20));
}

#[test]
fn a_replica_that_needs_long_to_flush_joins_in_the_end_although_writes_go_on() {
    let mut leader = leader(&[1, 2, 3], &[1, 2]);
    [2, 3].into_iter().for_each(|broker| fetch(&mut leader, run(broker), 8, 8));
    let step = Duration::from_millis(100);
    // Brokers 1 and 2 flush each record at once; broker 3, every half second, what there was half a second before.
    let joined = (11..400).find(|&end: &i64| {
        let now = NOW + step * u32::try_from(end).expect("it is small");
        leader.local(Offset(end), Offset(end), now);
        leader.flushed(run(2), &flush(end), now).expect("it counts");
        if end % 5 == 0 {
            leader.flushed(run(3), &flush(end - 5), now).expect("it counts");
        }
        leader.proposal(now).is_some()
    });
    assert!(joined.is_some(), "it runs after the high watermark for ever");
    assert!(leader.followers().any(|view| view.durable_end_offset == Some(leader.high_watermark())));
}

#[test]
fn the_low_watermark_is_where_the_last_of_those_that_run_starts() {
    let mut leader = leader(&[1, 2, 3], &[1, 2, 3]);
    let fetch_from = |leader: &mut Leader, broker: i32, log_start: i64| {
        let position = FetchPosition { log_start_offset: Offset(log_start), ..position(10, 10) };
        leader.fetch(run(broker), &position, &ends(10, 10), |_| None, NOW).expect("it agrees");
    };
    fetch_from(&mut leader, 2, 4);
    assert_eq!(leader.low_watermark(Offset(7)), None, "broker 3 was not heard");
    fetch_from(&mut leader, 3, 5);
    assert_eq!(leader.low_watermark(Offset(7)), Some(Offset(4)));
    fetch_from(&mut leader, 2, 7);
    assert_eq!(leader.low_watermark(Offset(7)), Some(Offset(5)));
    let partition = state(&[1, 2, 3], &[1, 2], 1);
    let without_3 = |broker: BrokerId| {
        let fenced = broker == BrokerId(3);
        standing(broker).map(|standing| Standing { may_join_isr: !fenced, ..standing })
    };
    leader.metadata(metadata(&partition, &without_3), NOW);
    assert_eq!(leader.low_watermark(Offset(7)), Some(Offset(7)), "nobody waits for one that does not run");
}
