//! The signals that stop a node in order.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP's bit in the masks of `/proc/self/status`.
const HANGUP_BIT: u64 = 1;

/// SIGTERM, Ctrl-C, and the end of the terminal that the node was started from.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` where whoever started the node has it outlive its terminal, as `nohup` does.
    hangup: Option<Signal>,
}

impl StopSignals {
    /// Takes the signals from now on.
    ///
    /// # Errors
    /// The operating system refused.
    pub(super) fn new() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = match ignores_hangup(&status) {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
        })
    }

    /// Returns once there was one since this last returned. Cancel-safe.
    pub(super) async fn recv(&mut self) {
        let hung_up = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hung_up => {}
        }
    }
}

/// Whether a process of this `status` was started with SIGHUP ignored.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANGUP_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn hangup_is_left_alone_where_it_was_ignored_at_the_start() {
        assert!(ignores_hangup("Name:\tottla\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tottla\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
