//! The word that a node is to stop, as its tasks hear it.

use tokio::sync::watch;

/// Says the word.
#[derive(Debug)]
pub struct StopSwitch(watch::Sender<bool>);

/// Hears it. Every clone hears it, also when it was said before.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl StopSwitch {
    /// A switch, and who listens to it.
    #[must_use]
    pub fn new() -> (Self, Stopping) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stopping(receiver))
    }

    /// Tells every listener to stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Whether the word was said.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the word was said, or nobody is left to say it. Cancel-safe.
    pub async fn requested(&mut self) {
        // An error means that the switch is gone, which is as good as the word.
        let _heard = self.0.wait_for(|stopping| *stopping).await.is_ok();
    }
}
