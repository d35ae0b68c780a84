//! What hostile clients do, a thousand at a time: a healthy one beside them goes on, a new one is served, and the broker's
//! memory stays bounded while they are there.

mod bombs;
mod connections;
mod frames;
mod partitions;
mod silence;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use client_tests::bystander::Bystander;
use client_tests::http;
use client_tests::node::{Node, anonymous_memory_of};
use client_tests::tools::missing;
use client_tests::wait::let_pass;
use client_tests::wire::{self, Connection};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many hostile connections there are.
const HOSTILE: usize = 1000;
/// What the broker's anonymous memory may grow by under them.
const GROWTH_MAX: u64 = 64 << 20;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The longest that anything may take to come to pass.
const LIMIT: Duration = Duration::from_secs(60);

/// Files that this process has open beside hostile connections.
const OTHER_FILES: usize = 1000;

/// All that come at once wait to be accepted: by default there is room for 50, and the system makes each of the others try
/// again after a second, which would be a pause for the broker and time for the tests.
const BACKLOG: &str = "socket.listen.backlog.size=4096";

/// One siege at a time: each takes what the machine has, and thousands of descriptors of this process.
static ONE: Mutex<()> = Mutex::new(());

/// A node with a healthy client, and an eye on its memory.
struct Siege {
    _only: MutexGuard<'static, ()>,
    node: Node,
    bystander: Bystander,
    before: u64,
    most: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    watch: JoinHandle<()>,
}

impl Siege {
    /// Starts a node and a client beside what is to come, whose records are of `value_size` bytes. `None`, said loudly, where
    /// the system does not let this process open as many connections as are `wanted`.
    fn begin(settings: &[&str], value_size: usize, wanted: usize) -> Result<Option<Siege>> {
        let only = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        if open_as_many_files_as((wanted + OTHER_FILES) as u64)?.is_none() {
            return Ok(None);
        }
        Siege::around(Node::start(&[&[BACKLOG], settings].concat())?, value_size, only).map(Some)
    }

    /// The same, for a node that may open so many files and no more.
    fn begin_with_open_files(
        open_files: u32,
        settings: &[&str],
        value_size: usize,
        wanted: usize,
    ) -> Result<Option<Siege>> {
        let only = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        if open_as_many_files_as((wanted + OTHER_FILES) as u64)?.is_none() {
            return Ok(None);
        }
        let node = Node::start_with_open_files(open_files, &[&[BACKLOG], settings].concat())?;
        Siege::around(node, value_size, only).map(Some)
    }

    fn around(node: Node, value_size: usize, only: MutexGuard<'static, ()>) -> Result<Siege> {
        let bystander = Bystander::start(node.bootstrap(), value_size)?;
        // What the client itself costs is there by now.
        bystander.goes_on()?;
        let before = node.anonymous_memory()?;
        let (most, done) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
        let pid = node.pid()?;
        let (peak, end) = (Arc::clone(&most), Arc::clone(&done));
        let watch = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                if let Ok(now) = anonymous_memory_of(pid) {
                    peak.fetch_max(now, Ordering::Relaxed);
                }
                let_pass(LOOK);
            }
        });
        Ok(Siege { _only: only, node, bystander, before, most, done, watch })
    }

    /// While `held` is there, a new client is served and the healthy one goes on. Connections are accepted in their order: the
    /// healthy client goes on after all of those were.
    fn expect_service<T>(&self, held: &T) -> Result<()> {
        let _still_there = held;
        let mut new = Connection::open_within(self.node.bootstrap(), LIMIT)?;
        wire::cluster_id(&mut new).context("a new client is not served")?;
        self.bystander.goes_on()
    }

    /// The value of a metric without labels.
    fn metric(&self, name: &str) -> Result<f64> {
        http::metric(self.node.http(), name)
    }

    /// Ends it: all is as it should be, and memory never grew by more than `growth_max`.
    fn end(self, growth_max: u64) -> Result<()> {
        self.bystander.finish()?;
        self.done.store(true, Ordering::Relaxed);
        self.watch.join().map_err(|_panic| anyhow!("the watch over the memory panicked"))?;
        let growth = self.most.load(Ordering::Relaxed).saturating_sub(self.before);
        eprintln!("anonymous memory grew by {} KiB at most", growth / 1024);
        ensure!(growth <= growth_max, "anonymous memory grew by {growth} bytes, more than {growth_max}");
        let said = self.node.stderr();
        ensure!(!said.contains("panicked") && !said.contains("defect"), "{said}");
        Ok(())
    }
}

/// Raises the limit of open files of this process, and so of the node that it starts; as root beyond what it was given.
fn open_as_many_files_as(wanted: u64) -> Result<Option<()>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let suffices = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if suffices(current) {
        return Ok(Some(()));
    }
    let maximum = if suffices(maximum) { maximum } else { Some(wanted) };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => Ok(Some(())),
        Err(error) => missing("a limit of open files that suffices", &format!("{wanted}: {error}")),
    }
}
