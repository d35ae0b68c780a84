//! `bench connections`: what a connection that does nothing holds in the broker's memory.
//!
//! Each has asked for ApiVersions; those of the second line have produced a record, too, so that what a request leaves
//! behind is in the figure. The kernel's buffers are not: an idle socket has none.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kafka_protocol::messages::ApiVersionsRequest;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::clock::pause;
use crate::connection::Connection;
use crate::machine::Machine;
use crate::ottla::Ready;
use crate::table::{Table, mebibytes, significant};
use crate::through_log::batch_of;
use crate::{ottla, topics, workspace};

const TOPIC: &str = "bench-connections";
const BATCH_BYTES: usize = 16 << 10;
/// Files that this program needs beside the connections, and the broker too, which inherits the limit.
const OTHER_FILES: u64 = 500;
/// An allocator gives back in its own time what it has no use for.
const SETTLE: Duration = Duration::from_secs(5);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many connections are held open (`max.connections` is 10,000 by default).
    #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let binary = workspace::ottla_binary()?;
    allow_files(options.connections + OTHER_FILES)?;
    println!("{}\n", Machine::of(directory)?);
    let home = workspace::scratch(directory)?;
    let most = format!("max.connections={}", options.connections + OTHER_FILES);
    let Ready { process, address, .. } = ottla::start(&binary, home.path(), None, &[&most])?;
    let mut first = Connection::open(address)?;
    topics::create(&mut first, TOPIC, 1, &[])?;
    let (batch, _) = batch_of(BATCH_BYTES)?;
    topics::produce(&mut first, TOPIC, [0], &batch)?;

    let mut table = Table::new(["connections", "anonymous memory", "per connection"]);
    let mut none = None;
    let mut line = |what: String, connections: usize| -> Result<()> {
        pause(SETTLE);
        let anonymous = process.memory()?.anonymous;
        let more = anonymous.saturating_sub(*none.get_or_insert(anonymous)) as f64;
        let each = format!("{} KiB", significant(more / 1024.0 / connections.max(1) as f64));
        table.row([what, mebibytes(anonymous), each]);
        Ok(())
    };
    line("1".to_owned(), 0)?;
    let mut idle = Vec::new();
    for _ in 0..options.connections {
        let mut connection = Connection::open(address)?;
        connection.call(0, &ApiVersionsRequest::default())?;
        idle.push(connection);
    }
    line(format!("{} that asked for ApiVersions", idle.len()), idle.len())?;
    idle.iter_mut().try_for_each(|connection| topics::produce(connection, TOPIC, [0], &batch))?;
    line(format!("{} that produced {BATCH_BYTES} bytes", idle.len()), idle.len())?;
    println!("{table}");
    drop(idle);
    process.stop()
}

/// Raises the limit on open files of this process, which the broker inherits.
fn allow_files(wanted: u64) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit)
            .with_context(|| format!("{wanted} files cannot be open at once"))?;
    }
    Ok(())
}
