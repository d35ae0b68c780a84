//! Waiting for events with a deadline. Nothing else in the tests lets time pass.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Result, bail};

/// How often a condition is looked at. Larger makes every wait slower, smaller makes waiting cost CPU that the broker
/// under test needs.
const STEP: Duration = Duration::from_millis(5);

/// Looks at `condition` until it holds. `what` completes the sentence "gave up waiting until ...".
///
/// `limit` counts the time between looks, not the time that `condition` itself takes.
///
/// # Errors
/// When `limit` has passed, or when `condition` fails.
pub fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let (_keep_open, never) = mpsc::channel::<()>();
    let mut waited = Duration::ZERO;
    while !condition()? {
        if waited >= limit {
            bail!("gave up after {limit:?} waiting until {what}");
        }
        if never.recv_timeout(STEP).is_err() {
            waited += STEP;
        }
    }
    Ok(())
}

/// Lets `duration` pass, for a load to run meanwhile; never to hope that something has happened by then.
pub fn let_pass(duration: Duration) {
    let (_keep_open, never) = mpsc::channel::<()>();
    if never.recv_timeout(duration).is_ok() {
        unreachable!("nothing is ever sent on this channel");
    }
}
