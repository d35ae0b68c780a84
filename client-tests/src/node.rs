//! A broker process of our own: the release binary on free ports of a loopback address of its own, in a temporary directory.
//!
//! Invariants: a node never outlives its [`Node`] value; a restart keeps the port and the data directory; what the
//! process says on standard error is kept in one file across restarts and shown when a test fails.

mod binary;

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::replica_set::network::own_host;
use crate::wait::{let_pass, wait_until};

/// The longest a start may take, recovery included; far more than any healthy start needs.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The longest a clean stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How much of the end of standard error a failed test shows, in bytes.
const SHOWN_STDERR: usize = 8 * 1024;

/// The binary under test, to be given arguments, in an environment that sets nothing of ours.
///
/// # Errors
/// When it cannot be built.
pub fn command() -> Result<Command> {
    let mut command = Command::new(binary::path()?);
    command.stdin(Stdio::null());
    forget_own_environment(&mut command);
    Ok(command)
}

/// One broker process and its data directory.
#[derive(Debug)]
pub struct Node {
    process: Option<Child>,
    data_dir: PathBuf,
    stderr_path: PathBuf,
    settings: Vec<String>,
    open_files: Option<u32>,
    banner: Banner,
    _home: TempDir,
}

/// What a starting node prints on standard output.
#[derive(Debug, Clone, Default)]
struct Banner {
    kafka: String,
    http: String,
}

/// How a process that was expected to end by itself did so.
#[derive(Debug)]
pub struct Refusal {
    /// Its exit status.
    pub status: ExitStatus,
    /// Everything that it wrote on standard error.
    pub stderr: String,
}

impl Refusal {
    /// Checks that the process ended with one line that names `subject` and reads like a sentence, not like a crash.
    ///
    /// # Errors
    /// When it said something else.
    pub fn expect_one_sentence(&self, subject: &str) -> Result<()> {
        let naming = self.stderr.lines().filter(|line| line.contains(subject)).count();
        let crashed =
            ["panicked", "stack backtrace", "Caused by:"].iter().any(|word| self.stderr.contains(word));
        if crashed || naming != 1 {
            bail!("expected one plain sentence about {subject}, read:\n{}", self.stderr);
        }
        Ok(())
    }
}

impl Node {
    /// Starts a node with an empty data directory; `settings` are `key=value` pairs for `--set`.
    ///
    /// # Errors
    /// When the binary cannot be built or started, or does not print its banner in time.
    pub fn start(settings: &[&str]) -> Result<Node> {
        let home = TempDir::with_prefix("ottla-client-tests-")?;
        let data_dir = home.path().join("data");
        Node::start_at(home, data_dir, settings, None)
    }

    /// Starts a node that may open so many files and no more.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_with_open_files(open_files: u32, settings: &[&str]) -> Result<Node> {
        let home = TempDir::with_prefix("ottla-client-tests-")?;
        let data_dir = home.path().join("data");
        Node::start_at(home, data_dir, settings, Some(open_files))
    }

    /// Starts a node on an existing data directory, which stays when the node is dropped.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_in(data_dir: &Path, settings: &[&str]) -> Result<Node> {
        Node::start_at(TempDir::with_prefix("ottla-client-tests-")?, data_dir.to_owned(), settings, None)
    }

    fn start_at(
        home: TempDir,
        data_dir: PathBuf,
        settings: &[&str],
        open_files: Option<u32>,
    ) -> Result<Node> {
        let any_port = format!("{}:0", own_host());
        let mut node = Node {
            process: None,
            data_dir,
            stderr_path: home.path().join("stderr"),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            open_files,
            banner: Banner { kafka: any_port.clone(), http: any_port },
            _home: home,
        };
        node.spawn()?;
        Ok(node)
    }

    fn spawn(&mut self) -> Result<()> {
        let stderr = OpenOptions::new().create(true).append(true).open(&self.stderr_path)?;
        let mut process = self.command()?.stdout(Stdio::piped()).stderr(stderr).spawn()?;
        let banner = process.stdout.take().context("standard output is piped").map(read_banner)?;
        self.process = Some(process);
        match banner.recv_timeout(START_LIMIT) {
            Ok(banner) => self.banner = banner,
            Err(_) => bail!("the node did not become ready; it said:\n{}", self.stderr()),
        }
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let mut command = serve_with(self.open_files)?;
        let own = [
            format!("listeners=PLAINTEXT://{}", self.banner.kafka),
            format!("ottla.http.listener={}", self.banner.http),
            format!("log.dirs={}", self.data_dir.display()),
        ];
        for setting in own.iter().chain(&self.settings) {
            command.args(["--set", setting]);
        }
        Ok(command)
    }

    /// Runs a second process on this node's data directory, on ports of its own, and waits until it ends.
    ///
    /// # Errors
    /// When it cannot be started, or is still running after the limit for a start (it is then killed).
    pub fn run_second_process(&self) -> Result<Refusal> {
        run_to_exit(&self.data_dir, &[], None)
    }

    /// `host:port` that clients are given.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.banner.kafka
    }

    /// `host:port` of the HTTP listener.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.banner.http
    }

    /// The directory with the node's data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The running process's id.
    ///
    /// # Errors
    /// When the node is not running.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("the node is not running")?.id())
    }

    /// Anonymous resident memory, in bytes (`RssAnon`); mapped log pages are not in it.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn anonymous_memory(&self) -> Result<u64> {
        anonymous_memory_of(self.pid()?)
    }

    /// Whether the process still runs.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn is_running(&mut self) -> Result<bool> {
        match &mut self.process {
            Some(process) => Ok(process.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Kills the process as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// When the node is not running.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the node is not running")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Asks the process to stop (SIGTERM), without waiting.
    ///
    /// # Errors
    /// When the node is not running.
    pub fn ask_to_stop(&self) -> Result<()> {
        let pid = Pid::from_raw(self.pid()?.try_into()?).context("a process id is positive")?;
        kill_process(pid, Signal::TERM)?;
        Ok(())
    }

    /// Asks the process to stop and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end in time, or with a status other than success.
    pub fn stop(&mut self) -> Result<()> {
        self.ask_to_stop()?;
        self.wait_for_stop()
    }

    /// Waits until a process that was asked to stop has ended.
    ///
    /// # Errors
    /// As [`Node::stop`].
    pub fn wait_for_stop(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("the node is not running")?;
        let status = wait_for_exit(process, STOP_LIMIT)?;
        self.process = None;
        // A program that leaves the signal to the operating system reports it as its status; ours must not.
        if !status.success() {
            bail!("a clean stop ended with {status}; it said:\n{}", self.stderr());
        }
        Ok(())
    }

    /// Waits until the process has ended by itself, as it must after a fault that it cannot outlive.
    ///
    /// # Errors
    /// When it goes on, or claims to have ended well.
    pub fn wait_for_failure(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("the node is not running")?;
        let status = wait_for_exit(process, START_LIMIT)?;
        self.process = None;
        if status.success() {
            bail!("it ended as if all were well; it said:\n{}", self.stderr());
        }
        Ok(())
    }

    /// Starts the process again, on the same ports and data.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn restart(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("the node is still running");
        }
        self.spawn()
    }

    /// Starts the process and kills it after `life`, ready or not.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn kill_while_starting(&mut self, life: Duration) -> Result<()> {
        if self.process.is_some() {
            bail!("the node is still running");
        }
        let stderr = OpenOptions::new().create(true).append(true).open(&self.stderr_path)?;
        let mut process = self.command()?.stdout(Stdio::null()).stderr(stderr).spawn()?;
        let_pass(life);
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// What the process has written on standard error, all starts together.
    #[must_use]
    pub fn stderr(&self) -> String {
        let mut text = Vec::new();
        match File::open(&self.stderr_path).and_then(|mut file| file.read_to_end(&mut text)) {
            Ok(_) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("({}: {error})", self.stderr_path.display()),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process
            && let Err(error) = process.kill().and_then(|()| process.wait())
        {
            eprintln!("the node could not be killed: {error}");
        }
        // The test runner keeps this to itself unless the test fails.
        let stderr = self.stderr();
        let tail = stderr.get(stderr.floor_char_boundary(stderr.len().saturating_sub(SHOWN_STDERR))..);
        eprintln!("--- the node said:\n{}\n---", tail.unwrap_or_default());
    }
}

/// Anonymous resident memory of a process, in bytes (`RssAnon`).
///
/// # Errors
/// When the process is gone.
pub fn anonymous_memory_of(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon line")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Runs the binary on `data_dir`, on free ports, and waits until it ends by itself, which it is expected to do. `open_files`
/// is how many files it may open, where that is to be less than usual.
///
/// # Errors
/// When it cannot be started, or still runs after the limit for a start (it is then killed).
pub fn run_to_exit(data_dir: &Path, settings: &[&str], open_files: Option<u32>) -> Result<Refusal> {
    let home = TempDir::with_prefix("ottla-client-tests-")?;
    let stderr_path = home.path().join("stderr");
    let mut command = serve_with(open_files)?;
    for setting in settings {
        command.args(["--set", setting]);
    }
    let mut process = command
        .args(["--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "ottla.http.listener=127.0.0.1:0"])
        .args(["--set", &format!("log.dirs={}", data_dir.display())])
        .stdout(Stdio::null())
        .stderr(File::create(&stderr_path)?)
        .spawn()?;
    let outcome = wait_for_exit(&mut process, START_LIMIT);
    if outcome.is_err() {
        process.kill()?;
        process.wait()?;
    }
    let stderr = std::fs::read_to_string(&stderr_path)?;
    let status =
        outcome.with_context(|| format!("the process was expected to refuse; it said:\n{stderr}"))?;
    Ok(Refusal { status, stderr })
}

/// `ottla serve`, where it is given a limit of open files by the shell, which becomes the node.
fn serve_with(open_files: Option<u32>) -> Result<Command> {
    let Some(limit) = open_files else {
        let mut command = command()?;
        command.arg("serve");
        return Ok(command);
    };
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!(r#"ulimit -n {limit} && exec "$0" "$@""#)])
        .arg(binary::path()?)
        .arg("serve");
    command.stdin(Stdio::null());
    forget_own_environment(&mut command);
    Ok(command)
}

/// `OTTLA_...` sets a node's keys, and the harness has variables of that form too.
fn forget_own_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"OTTLA_")) {
        command.env_remove(name);
    }
}

/// Waits until a process has ended.
pub(crate) fn wait_for_exit(process: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let mut status = None;
    wait_until(limit, "the process has ended", || {
        status = process.try_wait()?;
        Ok(status.is_some())
    })?;
    status.context("the process has ended")
}

/// Reads lines until the one that starts with `ready`, then keeps the pipe empty for as long as the process lives.
fn read_banner(stdout: impl std::io::Read + Send + 'static) -> mpsc::Receiver<Banner> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut banner = Banner::default();
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let line = line.trim();
            if let Some(address) = line.strip_prefix("kafka") {
                banner.kafka = after_scheme(address);
            } else if let Some(address) = line.strip_prefix("http") {
                banner.http = after_scheme(address);
            } else if line.starts_with("ready") && sender.send(banner.clone()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// `host:port` of the first URL in `text`.
fn after_scheme(text: &str) -> String {
    let address = text.split_once("://").map_or(text, |(_, address)| address);
    address
        .split(|c: char| c.is_whitespace() || c == '/')
        .find(|part| !part.is_empty())
        .unwrap_or_default()
        .to_owned()
}
