use super::*;
use storage::leader_epochs::LeaderEpochs;

mod meeting;

const EPOCH: LeaderEpoch = LeaderEpoch(7);

/// A log of these epochs and their starts.
fn log(epochs: &[(i32, i64)], durable_end: i64, log_end: i64) -> (LogEnds, LeaderEpochs) {
    let mut list = LeaderEpochs::default();
    for &(epoch, start) in epochs {
        list.assign(LeaderEpoch(epoch), Offset(start));
    }
    let ends = LogEnds {
        log_start_offset: Offset(0),
        durable_end_offset: Offset(durable_end),
        log_end_offset: Offset(log_end),
        latest_epoch: list.latest(),
    };
    (ends, list)
}

fn follower(high_watermark: i64, log_end: i64) -> Follower {
    Follower::new(Some(BrokerId(1)), EPOCH, Offset(high_watermark), Offset(log_end))
}

/// What the follower does where the leader says that epoch `epoch` ended at `end` there.
fn step_on_divergence(
    follower: &mut Follower,
    log: &(LogEnds, LeaderEpochs),
    (epoch, end): (i32, i64),
) -> FollowerStep {
    let asked = follower.position(&log.0).expect("it asks");
    let end = EpochEnd { epoch: LeaderEpoch(epoch), end_offset: Offset(end) };
    let answer = FetchAnswer::Refused(FetchRefusal::Diverging(end));
    follower.on_answer(&asked, &answer, &log.0, |epoch| log.1.end_offset_for(epoch, log.0.log_end_offset))
}

fn records(high_watermark: i64) -> FetchAnswer {
    FetchAnswer::Records { high_watermark: Offset(high_watermark), log_start_offset: Offset(0) }
}

#[test]
fn truncation_goes_to_the_end_of_the_shared_epoch() {
    let log = log(&[(1, 0), (5, 10), (6, 14)], 20, 20);
    let step = |epoch_end| step_on_divergence(&mut follower(0, 20), &log, epoch_end);
    assert_eq!(step((6, 16)), FollowerStep::Truncate(Offset(16)), "the leader has less of the epoch");
    assert_eq!(step((5, 12)), FollowerStep::Truncate(Offset(12)), "the leader has less of an older epoch");
    assert_eq!(step((5, 18)), FollowerStep::Truncate(Offset(14)), "the follower has less of that epoch");
    assert_eq!(step((4, 30)), FollowerStep::Truncate(Offset(10)), "epoch 4 is unknown here: 1 ended at 10");
}

#[test]
fn an_epoch_without_records_is_forgotten_by_a_truncation_at_the_end() {
    let log = log(&[(1, 0), (6, 20)], 20, 20);
    let step = step_on_divergence(&mut follower(20, 20), &log, (1, 20));
    assert_eq!(step, FollowerStep::Truncate(Offset(20)));
}

#[test]
fn truncation_below_the_high_watermark_is_refused_for_the_whole_epoch() {
    let log = log(&[(1, 0)], 20, 20);
    let mut follower = follower(15, 20);
    let FollowerStep::Halt(gone) = step_on_divergence(&mut follower, &log, (1, 14)) else {
        panic!("it goes on");
    };
    assert_eq!((gone.cut_to, gone.high_watermark), (Offset(14), Offset(15)));
    assert_eq!(follower.position(&log.0), None);
    assert_eq!(follower.halted(), Some(gone));
}

#[test]
fn a_log_that_ends_below_the_leaders_start_starts_over() {
    let log = log(&[(1, 0)], 20, 20);
    let mut follower = follower(20, 20);
    let asked = follower.position(&log.0).expect("it asks");
    let refusal = FetchRefusal::OutOfRange { log_start_offset: Offset(30), log_end_offset: Offset(40) };
    let step = follower.on_answer(&asked, &FetchAnswer::Refused(refusal), &log.0, |_| None);
    assert_eq!(step, FollowerStep::StartOver(Offset(30)));
    follower.started_over(Offset(30));
    assert_eq!(follower.high_watermark(), Offset(30));
}

#[test]
fn an_answer_to_a_position_that_the_log_has_left_is_ignored() {
    let (before, _) = log(&[(1, 0)], 20, 20);
    let (after, _) = log(&[(1, 0)], 16, 16);
    let mut follower = follower(0, 20);
    let asked = follower.position(&before).expect("it asks");
    assert_eq!(follower.on_answer(&asked, &records(9), &after, |_| None), FollowerStep::Ignore);
    let earlier = FetchPosition { leader_epoch: LeaderEpoch(6), ..asked };
    assert_eq!(follower.on_answer(&earlier, &records(9), &before, |_| None), FollowerStep::Ignore);
}

#[test]
fn the_high_watermark_follows_the_leaders_within_the_log_and_never_goes_back() {
    let (ends, _) = log(&[(1, 0)], 20, 20);
    let mut follower = follower(5, 20);
    assert_eq!(follower.appended(&ends, Offset(30), Offset(0)).high_watermark, Offset(20));
    assert_eq!(follower.appended(&ends, Offset(12), Offset(0)).high_watermark, Offset(20));
}

#[test]
fn the_log_start_follows_the_leaders_up_to_the_high_watermark() {
    let (ends, _) = log(&[(1, 0)], 20, 20);
    let mut follower = follower(5, 20);
    assert_eq!(follower.appended(&ends, Offset(8), Offset(12)).log_start_offset, Some(Offset(8)));
    assert_eq!(follower.appended(&ends, Offset(12), Offset(12)).log_start_offset, Some(Offset(12)));
    assert_eq!(follower.appended(&ends, Offset(12), Offset(0)).log_start_offset, None);
}

#[test]
fn flushes_are_reported_once_and_only_after_the_logs_agreed() {
    let (ends, _) = log(&[(1, 0)], 12, 20);
    let mut follower = follower(0, 20);
    assert_eq!(follower.flush_report(Offset(15)), None, "these records may be cut");
    let asked = follower.position(&ends).expect("it asks");
    follower.on_answer(&asked, &records(5), &ends, |_| None);
    assert_eq!(follower.flush_report(Offset(12)), None, "the position said so");
    let report = FlushReport { leader_epoch: EPOCH, durable_end_offset: Offset(15) };
    assert_eq!(follower.flush_report(Offset(15)), Some(report));
    assert_eq!(follower.flush_report(Offset(15)), None);
    let diverging = FetchRefusal::Diverging(EpochEnd { epoch: LeaderEpoch(1), end_offset: Offset(10) });
    follower.on_answer(&asked, &FetchAnswer::Refused(diverging), &ends, |_| None);
    assert_eq!(follower.flush_report(Offset(18)), None, "these records are being cut");
}

#[test]
fn without_a_leader_nothing_is_asked() {
    let (ends, _) = log(&[(1, 0)], 20, 20);
    let follower = Follower::new(None, EPOCH, Offset(30), Offset(20));
    assert_eq!(follower.position(&ends), None);
    assert_eq!(follower.high_watermark(), Offset(20), "a crash has taken what was above");
}
