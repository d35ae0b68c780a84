//! Other processes: what they cost, by `/proc`, and how they are started on one core and ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::clock::{Stopwatch, pause};

/// How often a process that was asked to stop is looked at.
const STOP_STEP: Duration = Duration::from_millis(20);
/// The longest a clean stop may take; then the process is killed.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How much of the end of standard error a failure shows, in bytes.
const SHOWN_STDERR: usize = 4 * 1024;

/// A process in the background, killed when dropped.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    stderr: PathBuf,
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All of it, mapped files included.
    pub(crate) resident: u64,
    /// What no file stands behind.
    pub(crate) anonymous: u64,
}

impl Background {
    /// Starts `command`, on `core` alone where one is given; what it says on standard error goes to the file `stderr`.
    pub(crate) fn start(command: &mut Command, core: Option<usize>, stderr: &Path) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(stderr)?);
        let child =
            on_core(core, || command.spawn().with_context(|| format!("{command:?} cannot be started")))?;
        Ok(Self { child, stderr: stderr.to_owned() })
    }

    /// The CPU time that it has taken so far, user and system together; the kernel counts it in steps of 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = fs::read_to_string(&path)?;
        // The second field is the name in brackets, and may hold anything.
        let (_, fields) = text.rsplit_once(')').with_context(|| format!("{path}: no name"))?;
        let field = |number: usize| -> Result<u64> {
            let text = fields.split_whitespace().nth(number).with_context(|| format!("{path}: too short"))?;
            Ok(text.parse()?)
        };
        let ticks = field(11)? + field(12)?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Its memory now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path)?;
        let bytes = |name: &str| -> Result<u64> {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            let value = value.with_context(|| format!("{path}: no {name}"))?;
            let kib: u64 = value.trim().trim_end_matches("kB").trim().parse()?;
            Ok(kib * 1024)
        };
        Ok(Memory { resident: bytes("VmRSS:")?, anonymous: bytes("RssAnon:")? })
    }

    /// How many files it has open now.
    pub(crate) fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// How many mappings it has now.
    pub(crate) fn mappings(&self) -> Result<usize> {
        Ok(fs::read_to_string(format!("/proc/{}/maps", self.child.id()))?.lines().count())
    }

    /// Fails, with what it said, when it has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the process ended with {status}:\n{}", self.last_words()),
            None => Ok(()),
        }
    }

    /// Asks it to stop (SIGTERM) and waits for that.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.must_run()?;
        let pid = Pid::from_raw(self.child.id().try_into()?).context("a process id is positive")?;
        kill_process(pid, Signal::TERM)?;
        let asked = Stopwatch::start();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > STOP_LIMIT {
                bail!("the process did not stop within {STOP_LIMIT:?}:\n{}", self.last_words());
            }
            pause(STOP_STEP);
        }
        Ok(())
    }

    /// Ends it at once (SIGKILL), and waits until it is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.must_run()?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = fs::read(&self.stderr).unwrap_or_default();
        let start = text.len().saturating_sub(SHOWN_STDERR);
        String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("a process could not be ended: {error}");
        }
    }
}

/// Runs `work` with this thread on `core` alone; what it starts inherits that.
pub(crate) fn on_core<T>(core: Option<usize>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(core) = core else { return work() };
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).with_context(|| format!("cannot use core {core} alone"))?;
    let outcome = work();
    sched_setaffinity(None, &before)?;
    outcome
}

/// Runs a command to its end and answers its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} cannot be started"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}: {stderr}{stdout}", output.status);
    }
    Ok(stdout)
}
