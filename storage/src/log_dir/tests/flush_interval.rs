//! When a round begins for topics whose `flush.ms` is shorter than the window.

use std::sync::Arc;
use std::time::Duration;

use config::topic::TopicConfig;

use super::support::{EPOCH, Events, NOW, batch, partition, root, settings, topic_id};
use crate::disk::simulated::SimulatedDisk;
use crate::flusher::FlushDecision;
use crate::log_dir::LogDir;

/// When the next round begins after one that began at 0, once each topic with these `flush.ms` has appended.
fn decision(honours_flush_ms: bool, flush_ms: &[i64]) -> FlushDecision {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let mut settings = settings();
    settings.flush_window.interval = Duration::from_secs(1);
    settings.honours_flush_ms = honours_flush_ms;
    let dir = LogDir::open(disk, &root(), settings, Arc::new(Events::default())).unwrap();
    let logs: Vec<_> = (0..)
        .zip(flush_ms)
        .map(|(index, &flush_ms)| {
            let config = TopicConfig { flush_ms, ..TopicConfig::default() };
            dir.create_log(partition(index), topic_id(), Arc::new(config))
        })
        .collect();
    for log in &logs {
        log.append_as_leader(batch(1, 10, NOW.0), EPOCH, NOW).unwrap();
    }
    let first = dir.shared.flusher.decide_now(Duration::ZERO, Some(Duration::ZERO));
    dir.flush_round();
    assert_eq!(dir.shared.flusher.decide_now(Duration::ZERO, Some(Duration::ZERO)), FlushDecision::Idle);
    first
}

#[test]
fn flush_ms_shortens_the_window_where_it_counts() {
    let after = |millis| FlushDecision::After(Duration::from_millis(millis));
    assert_eq!(decision(true, &[i64::MAX]), after(1000));
    assert_eq!(decision(true, &[i64::MAX, 300, 20, 500]), after(20), "the shortest of those that wait");
    assert_eq!(decision(true, &[0]), FlushDecision::Start);
    assert_eq!(decision(true, &[5000]), after(1000), "the window is what costs, and is never made longer");
    assert_eq!(
        decision(false, &[0, 20]),
        after(1000),
        "records wait for a round before they are acknowledged anyway"
    );
}
