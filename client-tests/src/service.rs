//! A program that serves HTTP and says on its output where, such as a monitor that watches the broker under test.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::http;

/// The longest that a program may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running program, which is killed when dropped.
#[derive(Debug)]
pub struct Service {
    process: Child,
    address: String,
}

impl Service {
    /// Starts a program, and waits for a line of its output in which `address` finds where it listens.
    ///
    /// # Errors
    /// When it cannot be started, or does not say so in time.
    pub fn start(mut command: Command, address: fn(&str) -> Option<&str>) -> Result<Service> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("{command:?} cannot be started"))?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let stdout = process.stdout.take().context("standard output is piped")?;
        let stderr = process.stderr.take().context("standard error is piped")?;
        find(stdout, address, sender.clone());
        find(stderr, address, sender);
        let mut service = Service { process, address: String::new() };
        let address = receiver.recv_timeout(START_LIMIT);
        service.address = address.with_context(|| format!("{command:?} does not say where it listens"))?;
        Ok(service)
    }

    /// The body of the answer to a GET of `path`.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, path: &str) -> Result<String> {
        http::get(&self.address, path)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("a program could not be killed: {error}");
        }
    }
}

/// Sends the first address; reads on after that, so that the pipe stays empty.
fn find(stream: impl Read + Send + 'static, address: fn(&str) -> Option<&str>, sender: SyncSender<String>) {
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(address) = address(&line)
                && let Some(sender) = sender.take()
                && sender.try_send(address.to_owned()).is_err()
            {
                return;
            }
        }
    });
}
