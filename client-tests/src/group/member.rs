//! One process that is one consumer in a group.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::event::{Dialect, Event};
use super::journal::Journal;
use crate::wait::wait_until;

/// The longest that a member may take to leave its group and end.
const LEAVE_LIMIT: Duration = Duration::from_secs(20);

/// A running member, which is killed when dropped.
#[derive(Debug)]
pub struct Member {
    index: usize,
    process: Child,
    journal: Arc<Journal>,
    readers: Vec<JoinHandle<()>>,
}

impl Member {
    /// Starts a member whose words go into the journal as those of `index`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        index: usize,
        mut command: Command,
        dialect: Dialect,
        journal: &Arc<Journal>,
    ) -> Result<Member> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("{command:?} cannot be started"))?;
        let stdout = process.stdout.take().context("standard output is piped")?;
        let stderr = process.stderr.take().context("standard error is piped")?;
        let journals = (Arc::clone(journal), Arc::clone(journal));
        let readers = vec![
            read(stdout, move |line| note(&journals.0, index, dialect.stdout(line))),
            read(stderr, move |line| note(&journals.1, index, dialect.stderr(line))),
        ];
        Ok(Member { index, process, journal: Arc::clone(journal), readers })
    }

    /// Its name in the journal.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Checks that the process has not ended by itself.
    ///
    /// # Errors
    /// When it has.
    pub fn check(&mut self) -> Result<()> {
        let status = self.process.try_wait()?;
        ensure!(status.is_none(), "member {} ended by itself: {status:?}", self.index);
        Ok(())
    }

    /// Kills it as `kill -9` does; it cannot say goodbye to the group.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn kill(mut self) -> Result<()> {
        self.check()?;
        self.process.kill()?;
        self.process.wait()?;
        self.finish_reading();
        Ok(())
    }

    /// Stops it where it is (SIGSTOP), as a machine that hangs does.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused member run on (SIGCONT).
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to leave the group and end (SIGTERM), without waiting.
    ///
    /// # Errors
    /// When it has ended.
    pub fn ask_to_leave(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until it has left and ended as it was asked to, and everything that it said is in the journal.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait_until_gone(mut self) -> Result<()> {
        let what = format!("member {} has left and ended", self.index);
        wait_until(LEAVE_LIMIT, &what, || Ok(self.process.try_wait()?.is_some()))?;
        self.finish_reading();
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.process.id().try_into()?).context("a process id is positive")?;
        Ok(kill_process(pid, signal)?)
    }

    fn finish_reading(&mut self) {
        for reader in self.readers.drain(..) {
            if reader.join().is_err() {
                eprintln!("the reader of member {} panicked", self.index);
            }
        }
        self.journal.end(self.index);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // An ended process cannot be killed again, which is as good.
        if self.process.kill().and_then(|()| self.process.wait()).is_ok() {
            self.finish_reading();
        }
    }
}

fn note(journal: &Journal, index: usize, event: Option<Event>) {
    if let Some(event) = event {
        journal.add(index, event);
    }
}

fn read(stream: impl Read + Send + 'static, note: impl Fn(&str) + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            note(&line);
        }
    })
}
