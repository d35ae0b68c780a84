//! One process of a set.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::network::{CLIENT_PORT, HTTP_PORT, Network};
use super::product::{Instructions, Product};
use super::roles;
use crate::node::wait_for_exit;
use crate::wait::wait_until;

/// The longest that a start may take; Apache Kafka takes a dozen seconds on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);
/// The longest that a clean stop may take, which waits until others lead.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How much of the end of its log a failed test shows, in bytes.
const SHOWN_LOG: usize = 6 * 1024;

/// A node, which may run, hang or be down.
#[derive(Debug)]
pub struct SetNode {
    id: i32,
    product: Product,
    host: String,
    address: String,
    peers: Vec<(i32, String)>,
    home: PathBuf,
    data_dir: PathBuf,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    namespace: Option<String>,
    process: Option<Child>,
    is_paused: bool,
}

impl SetNode {
    pub(super) fn new(
        id: i32,
        product: Product,
        network: &Network,
        home: &Path,
        settings: Vec<String>,
    ) -> SetNode {
        let host = network.host(id);
        SetNode {
            id,
            product,
            address: format!("{host}:{CLIENT_PORT}"),
            peers: vec![(id, host.clone())],
            host,
            home: home.to_owned(),
            data_dir: home.join("data"),
            settings,
            environment: Vec::new(),
            namespace: network.as_namespaces().map(|namespaces| namespaces.name(id)),
            process: None,
            is_paused: false,
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// `host:port` for clients.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `host:port` for HTTP.
    #[must_use]
    pub fn http(&self) -> String {
        format!("{}:{HTTP_PORT}", self.host)
    }

    /// Its data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Lets its data be elsewhere from its next start on.
    pub fn set_data_dir(&mut self, data_dir: &Path) {
        data_dir.clone_into(&mut self.data_dir);
    }

    /// The nodes that it is told of from its next start on, with their addresses.
    pub fn set_peers(&mut self, peers: &[(i32, String)]) {
        self.peers = peers.to_vec();
    }

    /// Lets its number be another from its next start on.
    pub fn set_id(&mut self, id: i32) {
        self.id = id;
    }

    /// Lets a `key=value` setting hold from its next start on, in place of another value of the key.
    pub fn set(&mut self, setting: &str) {
        let key = setting.split_inclusive('=').next().unwrap_or_default();
        self.settings.retain(|known| !known.starts_with(key));
        self.settings.push(setting.to_owned());
    }

    /// Adds a variable to its environment from its next start on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Whether there is a process, running or paused.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Whether it can be expected to answer.
    #[must_use]
    pub fn can_answer(&self) -> bool {
        self.process.is_some() && !self.is_paused
    }

    /// Starts the process, without waiting.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "node {} is running", self.id);
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = self.command()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().with_context(|| format!("{command:?} cannot be started"))?);
        self.is_paused = false;
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let command = self.product.command(&Instructions {
            id: self.id,
            host: &self.host,
            peers: &self.peers,
            data_dir: &self.data_dir,
            settings: &self.settings,
        })?;
        let mut command = match &self.namespace {
            None => command,
            Some(namespace) => {
                let mut inside = Command::new("ip");
                inside.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
                for (name, value) in command.get_envs() {
                    match value {
                        Some(value) => inside.env(name, value),
                        None => inside.env_remove(name),
                    };
                }
                inside
            }
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Waits until it answers clients and is in use by its cluster.
    ///
    /// # Errors
    /// When it does not in time, or has ended.
    pub fn wait_until_served(&mut self) -> Result<()> {
        let what = format!("node {} answers clients", self.id);
        let outcome = wait_until(START_LIMIT, &what, || {
            ensure!(!self.has_ended()?, "node {} ended instead of serving", self.id);
            Ok(roles::brokers_in_use(&self.address).is_ok_and(|brokers| brokers.contains(&self.id)))
        });
        outcome.with_context(|| self.log_tail())
    }

    /// Whether the process has ended by itself.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn has_ended(&mut self) -> Result<bool> {
        match &mut self.process {
            Some(process) => Ok(process.try_wait()?.is_some()),
            None => Ok(false),
        }
    }

    /// Waits until a process that is expected to refuse has ended by itself, and returns what it said in this and its
    /// earlier starts.
    ///
    /// # Errors
    /// When it runs on.
    pub fn wait_for_refusal(&mut self) -> Result<(ExitStatus, String)> {
        let mut process = self.process.take().context("the node is not running")?;
        let outcome = wait_for_exit(&mut process, START_LIMIT);
        if outcome.is_err() {
            self.process = Some(process);
        }
        let status =
            outcome.with_context(|| format!("a refusal was expected; it said:\n{}", self.log_tail()))?;
        Ok((status, self.log()))
    }

    /// Kills the process as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// When it is not running, or has ended by itself.
    pub fn kill(&mut self) -> Result<()> {
        self.expect_running()?;
        let mut process = self.process.take().context("the node is not running")?;
        process.kill()?;
        process.wait()?;
        self.is_paused = false;
        Ok(())
    }

    /// Stops the process where it is (SIGSTOP), as a machine that hangs does.
    ///
    /// # Errors
    /// When it is not running, or has ended by itself.
    pub fn pause(&mut self) -> Result<()> {
        self.expect_running()?;
        self.signal(Signal::STOP)?;
        self.is_paused = true;
        Ok(())
    }

    /// Lets a paused process run on (SIGCONT).
    ///
    /// # Errors
    /// When it is not running.
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)?;
        self.is_paused = false;
        Ok(())
    }

    /// Asks the process to stop (SIGTERM), without waiting.
    ///
    /// # Errors
    /// When it is not running, or has ended by itself.
    pub fn ask_to_stop(&mut self) -> Result<()> {
        self.expect_running()?;
        self.signal(Signal::TERM)
    }

    /// Waits until a process that was asked to stop has ended, which it must with success.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_for_stop(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("the node is not running")?;
        let outcome = wait_for_exit(process, STOP_LIMIT);
        let status = outcome.with_context(|| format!("node {} was asked to stop", self.id))?;
        self.process = None;
        // A JVM that a signal ends says so in its status, however cleanly it stopped.
        if !status.success() && self.product == Product::Ottla {
            bail!("the clean stop of node {} ended with {status}; it said:\n{}", self.id, self.log_tail());
        }
        Ok(())
    }

    /// Asks the process to stop and waits until it has.
    ///
    /// # Errors
    /// As [`SetNode::wait_for_stop`].
    pub fn stop(&mut self) -> Result<()> {
        self.ask_to_stop()?;
        self.wait_for_stop()
    }

    /// Removes all data of a node that is down.
    ///
    /// # Errors
    /// When it runs, or its directory cannot be removed.
    pub fn wipe(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "node {} is running", self.id);
        fs::remove_dir_all(&self.data_dir).context("the data cannot be removed")
    }

    fn expect_running(&mut self) -> Result<()> {
        ensure!(!self.has_ended()?, "node {} ended by itself; it said:\n{}", self.id, self.log_tail());
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref().context("the node is not running")?;
        let pid = Pid::from_raw(process.id().try_into()?).context("a process id is positive")?;
        Ok(kill_process(pid, signal)?)
    }

    fn log_path(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Everything that it said, all starts together.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        match File::open(self.log_path()).and_then(|mut file| file.read_to_end(&mut text)) {
            Ok(_) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("({}: {error})", self.log_path().display()),
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let tail = log.get(log.floor_char_boundary(log.len().saturating_sub(SHOWN_LOG))..);
        format!("--- node {} said:\n{}\n---", self.id, tail.unwrap_or_default())
    }
}

impl Drop for SetNode {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process
            && let Err(error) = process.kill().and_then(|()| process.wait())
        {
            eprintln!("node {} could not be killed: {error}", self.id);
        }
        // The test runner keeps this to itself unless the test fails.
        eprintln!("{}", self.log_tail());
    }
}
