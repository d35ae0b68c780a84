//! What a client waits for, so that who gives up waiting can name it.

use std::collections::BTreeMap;
use std::time::Duration;

/// A request that is without an answer for so long is named as what holds a command up, before what an earlier answer said.
/// Nothing breaks at exactly this. Longer: where there was an earlier answer, a short `--timeout` names nobody. Shorter: a fetch
/// to which a leader answers as soon as it has waited for records (`consume`'s `WAIT_MS`, half of this) is named.
const HELD_UP_FROM: Duration = Duration::from_secs(1);

/// What is asked of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To let the client connect, and which versions it serves.
    Connection,
    /// A request, by the name of its API.
    Request(&'static str),
}

/// The requests that are under way, one for each broker at most.
#[derive(Debug, Default)]
pub(super) struct Waits {
    by_address: BTreeMap<String, (Asked, Duration)>,
}

impl Waits {
    /// A broker is asked.
    pub(super) fn begin(&mut self, address: &str, asked: Asked, now: Duration) {
        self.by_address.insert(address.to_owned(), (asked, now));
    }

    /// It has answered, or never will.
    pub(super) fn end(&mut self, address: &str) {
        self.by_address.remove(address);
    }

    /// What holds the client up, a clause for each broker that has not answered for long; all of them where `is_all`. Empty
    /// where there is none.
    pub(super) fn told(&self, is_all: bool, now: Duration) -> String {
        let mut clauses = Vec::new();
        for (address, (asked, since)) in &self.by_address {
            let waited = now.saturating_sub(*since);
            if is_all || waited >= HELD_UP_FROM {
                clauses.push(clause(address, *asked, waited));
            }
        }
        clauses.join("; ")
    }
}

fn clause(address: &str, asked: Asked, waited: Duration) -> String {
    let seconds = waited.as_secs_f64();
    match asked {
        Asked::Connection => format!(
            "the broker at {address} says nothing at all, {seconds:.1} s after the client connected or tried to: is it stuck, or \
             a firewall in between?"
        ),
        Asked::Request(api) => format!(
            "the broker at {address} has not answered {api} for {seconds:.1} s; `ottla cluster status -b {address}` says whether \
             enough nodes are there, and the log of that node what it waits for"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Waits};
    use std::time::Duration;

    #[test]
    fn a_request_that_is_not_answered_is_named_with_its_broker_and_its_age() {
        let second = Duration::from_secs(1);
        let mut waits = Waits::default();
        assert_eq!(waits.told(true, second), "");
        waits.begin("a:1", Asked::Connection, second);
        waits.begin("a:1", Asked::Request("InitProducerId"), 2 * second);
        waits.begin("b:1", Asked::Connection, 4 * second);
        let said = waits.told(false, 4 * second + second / 2);
        assert!(
            said.starts_with("the broker at a:1 has not answered InitProducerId for 2.5 s; `ottla cluster"),
            "{said}"
        );
        assert!(!said.contains("b:1"), "it was asked just now: {said}");
        waits.end("a:1");
        let said = waits.told(true, 5 * second);
        assert!(said.starts_with("the broker at b:1 says nothing at all, 1.0 s after"), "{said}");
    }
}
