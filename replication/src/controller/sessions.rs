//! Which brokers the controller has heard from lately. Soft state: a controller that takes over begins anew, with a full
//! session for everyone but the one that it succeeds, and nothing that the metadata says rests on it.
//!
//! Invariant: a session is of the newest run that was heard of; an older run's word changes nothing. Time is a monotonic
//! duration since any one moment.

use crate::controller::brokers::BROKERS_MAX;
use crate::metadata::image::MetadataImage;
use crate::metadata::record::BrokerRegistration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::{BrokerEpoch, BrokerId};

/// The sessions of the brokers that are used.
#[derive(Debug)]
pub struct BrokerSessions {
    timeout: Duration,
    sessions: BTreeMap<BrokerId, Session>,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    broker_epoch: BrokerEpoch,
    heard_at: Duration,
}

impl BrokerSessions {
    /// No sessions. A broker is silent once it was not heard for `timeout` (`broker.session.timeout.ms`).
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, sessions: BTreeMap::new() }
    }

    /// This node begins to be the controller at `now`: every broker that is not fenced has a full session before it. That of
    /// the `predecessor`, the former controller, runs since that was heard last as such: it has been silent for a while
    /// where it was cut off, and what it leads should not wait for twice that.
    pub fn begin(&mut self, image: &MetadataImage, now: Duration, predecessor: Option<(BrokerId, Duration)>) {
        let heard_at = |broker_id| match predecessor {
            Some((former, heard_at)) if former == broker_id => heard_at.min(now),
            Some(_) | None => now,
        };
        let used = image.brokers().values().filter(|broker| !broker.is_fenced);
        let session = |broker: &Arc<BrokerRegistration>| {
            let BrokerRegistration { broker_id, broker_epoch, .. } = **broker;
            (broker_id, Session { broker_epoch, heard_at: heard_at(broker_id) })
        };
        self.sessions = used.map(session).collect();
    }

    /// A run of a registered broker said something at `now`.
    pub fn heard(&mut self, broker_id: BrokerId, broker_epoch: BrokerEpoch, now: Duration) {
        let known = self.sessions.get(&broker_id);
        let is_outdated = known.is_some_and(|known| known.broker_epoch > broker_epoch);
        if !is_outdated && (known.is_some() || self.sessions.len() < BROKERS_MAX) {
            self.sessions.insert(broker_id, Session { broker_epoch, heard_at: now });
        }
    }

    /// This run is fenced, or has ended: it has no session until it is heard again.
    pub fn end(&mut self, broker_id: BrokerId, broker_epoch: BrokerEpoch) {
        if self.sessions.get(&broker_id).is_some_and(|session| session.broker_epoch <= broker_epoch) {
            self.sessions.remove(&broker_id);
        }
    }

    /// The runs that are silent at `now`: they are to be fenced, and are named again until their session has ended.
    #[must_use]
    pub fn expired(&self, now: Duration) -> Vec<(BrokerId, BrokerEpoch)> {
        let silent = self.sessions.iter().filter(|(_, session)| session.heard_at + self.timeout <= now);
        silent.map(|(broker_id, session)| (*broker_id, session.broker_epoch)).collect()
    }

    /// The run of this broker that was heard within a session before `now`: another one may not take its id.
    #[must_use]
    pub fn live(&self, broker_id: BrokerId, now: Duration) -> Option<BrokerEpoch> {
        let session = self.sessions.get(&broker_id)?;
        (session.heard_at + self.timeout > now).then_some(session.broker_epoch)
    }

    /// When the next session expires, unless its broker is heard before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.sessions.values().map(|session| session.heard_at + self.timeout).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::image::tests::registration;
    use crate::metadata::record::MetadataRecord;

    const SESSION: Duration = Duration::from_millis(1200);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn run(broker_id: i32, broker_epoch: i64) -> (BrokerId, BrokerEpoch) {
        (BrokerId(broker_id), BrokerEpoch(broker_epoch))
    }

    fn three_brokers_of_which_the_last_is_fenced() -> BrokerSessions {
        let mut sessions = BrokerSessions::new(SESSION);
        sessions.begin(&image_of_which_the_last_is_fenced(), at(1000), None);
        sessions
    }

    fn image_of_which_the_last_is_fenced() -> MetadataImage {
        let fenced = MetadataRecord::BrokerState {
            broker_id: BrokerId(3),
            broker_epoch: BrokerEpoch(3),
            is_fenced: true,
            is_shutting_down: false,
        };
        let brokers = [registration(1, 1), registration(2, 2), registration(3, 3), fenced];
        MetadataImage::default().apply(1, &brokers)
    }

    #[test]
    fn a_controller_that_begins_gives_a_full_session_to_who_is_not_fenced() {
        let sessions = three_brokers_of_which_the_last_is_fenced();
        assert_eq!(sessions.next_deadline(), Some(at(2200)));
        assert_eq!(sessions.expired(at(2199)), []);
        assert_eq!(sessions.expired(at(2200)), [run(1, 1), run(2, 2)]);
        assert_eq!(sessions.live(BrokerId(3), at(1000)), None);
    }

    #[test]
    fn the_session_of_the_former_controller_runs_since_it_was_heard() {
        let mut sessions = BrokerSessions::new(SESSION);
        sessions.begin(&image_of_which_the_last_is_fenced(), at(1000), Some((BrokerId(2), at(300))));
        assert_eq!(sessions.expired(at(1499)), []);
        assert_eq!(sessions.expired(at(1500)), [run(2, 2)]);
        sessions.heard(BrokerId(2), BrokerEpoch(2), at(1400));
        assert_eq!(sessions.expired(at(1500)), [], "it stepped down, and says so");
    }

    #[test]
    fn who_is_heard_does_not_expire_and_who_is_silent_is_named_until_its_session_ends() {
        let mut sessions = three_brokers_of_which_the_last_is_fenced();
        sessions.heard(BrokerId(1), BrokerEpoch(1), at(2000));
        assert_eq!(sessions.expired(at(2300)), [run(2, 2)]);
        assert_eq!(sessions.expired(at(2300)), [run(2, 2)]);
        assert_eq!(sessions.live(BrokerId(1), at(2300)), Some(BrokerEpoch(1)));
        assert_eq!(sessions.live(BrokerId(2), at(2300)), None);
        sessions.end(BrokerId(2), BrokerEpoch(2));
        assert_eq!(sessions.expired(at(2300)), []);
        assert_eq!(sessions.next_deadline(), Some(at(3200)));
    }

    #[test]
    fn an_older_run_neither_renews_nor_ends_the_session_of_a_newer_one() {
        let mut sessions = three_brokers_of_which_the_last_is_fenced();
        sessions.heard(BrokerId(1), BrokerEpoch(9), at(1100));
        sessions.heard(BrokerId(1), BrokerEpoch(1), at(2200));
        sessions.end(BrokerId(1), BrokerEpoch(1));
        assert_eq!(sessions.expired(at(2300)), [run(1, 9), run(2, 2)]);
    }
}
