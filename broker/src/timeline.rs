//! Where the time of a request goes: from its first byte to the last byte of its answer.
//!
//! A core: moments come in as parameters. The reader of a connection notes the first ones, whoever answers notes the next,
//! the writer the last.

use crate::api::Api;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The moments of one request.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// What was asked, and by whom; `None` where nobody wants to know.
    pub(crate) of: Option<Asked>,
    /// When the first byte was there.
    arrived: Duration,
    /// When all of it was read, and there was room for it.
    read: Duration,
    /// When it was decoded, and what happens in order (an append) had happened, in microseconds.
    handled_us: AtomicU64,
    /// When the answers before it had gone, where it began only then, in microseconds; else 0.
    began_us: AtomicU64,
    /// When everything that it had to wait for had happened, in microseconds.
    ready_us: AtomicU64,
    awaited: AtomicU64,
}

/// What was asked, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) api: &'static Api,
    pub(crate) version: i16,
    pub(crate) client_id: Arc<str>,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Whatever its API waits for.
    Something,
    /// Its records are not on the disk of this node.
    Flush,
    /// Its records are, and not yet on those of the other replicas.
    Replicas,
}

/// How long each part took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    read: Duration,
    handled: Duration,
    awaited: Duration,
    awaited_what: Awaited,
    queued: Duration,
    sent: Duration,
}

/// The APIs in which waiting is what the client asks for: Fetch, JoinGroup, SyncGroup.
const WAITING_IS_WANTED: [i16; 3] = [1, 11, 14];

impl Timeline {
    pub(crate) fn new(of: Asked, arrived: Duration, read: Duration) -> Self {
        Self { of: Some(of), arrived, read, ..Self::default() }
    }

    pub(crate) fn handled(&self, now: Duration) {
        self.handled_us.store(micros(now), Ordering::Relaxed);
    }

    pub(crate) fn began(&self, now: Duration) {
        self.began_us.store(micros(now), Ordering::Relaxed);
    }

    pub(crate) fn ready(&self, now: Duration) {
        self.ready_us.store(micros(now), Ordering::Relaxed);
    }

    /// Notes what the request still waits for, after it has waited long.
    pub(crate) fn awaits(&self, what: Awaited) {
        self.awaited.store(what as u64, Ordering::Relaxed);
    }

    /// The parts, for an answer that was the oldest at `sending` and gone at `sent`.
    pub(crate) fn parts(&self, sending: Duration, sent: Duration) -> Parts {
        let [handled, began, ready] = [&self.handled_us, &self.began_us, &self.ready_us]
            .map(|moment| Duration::from_micros(moment.load(Ordering::Relaxed)));
        let began = began.max(handled);
        let awaited = self.awaited.load(Ordering::Relaxed);
        let known = [Awaited::Flush, Awaited::Replicas].into_iter().find(|what| *what as u64 == awaited);
        Parts {
            read: self.read.saturating_sub(self.arrived),
            handled: handled.saturating_sub(self.read),
            awaited: ready.saturating_sub(began),
            awaited_what: known.unwrap_or(Awaited::Something),
            queued: began.saturating_sub(handled) + sending.saturating_sub(ready),
            sent: sent.saturating_sub(sending),
        }
    }
}

impl Parts {
    /// How long the request took, without what its client wanted to wait for.
    pub(crate) fn total(&self, api_key: i16) -> Duration {
        let awaited = if WAITING_IS_WANTED.contains(&api_key) { Duration::ZERO } else { self.awaited };
        self.read + self.handled + awaited + self.queued + self.sent
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, handled, awaited, awaited_what, queued, sent } = self;
        let ms = Duration::as_millis;
        let what = match awaited_what {
            Awaited::Something => "waiting",
            Awaited::Flush => "waiting, for the flush on this node",
            Awaited::Replicas => "waiting, for the other in-sync replicas",
        };
        write!(
            formatter,
            "{} ms being read, {} being handled, {} {what}, {} behind earlier answers, {} being sent",
            ms(read),
            ms(handled),
            ms(awaited),
            ms(queued),
            ms(sent)
        )
    }
}

fn micros(moment: Duration) -> u64 {
    u64::try_from(moment.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Asked, Awaited, Timeline};
    use crate::api;
    use std::time::Duration;

    const FETCH_KEY: i16 = 1;

    fn timeline() -> Timeline {
        let api = api::find(api::PRODUCE_KEY).expect("it is served");
        let at = Duration::from_millis;
        let timeline = Timeline::new(Asked { api, version: 9, client_id: "test".into() }, at(1000), at(1010));
        timeline.handled(at(1030));
        timeline.ready(at(1330));
        timeline
    }

    #[test]
    fn a_request_is_as_slow_as_its_parts() {
        let timeline = timeline();
        let parts = timeline.parts(Duration::from_millis(1370), Duration::from_millis(1420));
        assert_eq!(parts.total(api::PRODUCE_KEY), Duration::from_millis(420));
        assert_eq!(
            parts.total(FETCH_KEY),
            Duration::from_millis(120),
            "it waits for records as it is told to"
        );
        assert_eq!(
            parts.to_string(),
            "10 ms being read, 20 being handled, 300 waiting, 40 behind earlier answers, 50 being sent"
        );
    }

    #[test]
    fn what_a_request_waits_for_is_named() {
        let timeline = timeline();
        timeline.awaits(Awaited::Replicas);
        let parts = timeline.parts(Duration::from_millis(1330), Duration::from_millis(1330));
        assert!(
            parts.to_string().contains("300 waiting, for the other in-sync replicas, 0 behind"),
            "{parts}"
        );
    }
}
