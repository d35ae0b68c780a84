//! The broker that is measured: the release binary, on a free port, with an empty data directory.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::clock::Stopwatch;
use crate::process::Background;
use crate::wire::{first_metadata, free_address};

/// A broker that has answered Metadata.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The process.
    pub(crate) process: Background,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// From the start of the process to the first answer.
    pub(crate) start_time: Duration,
}

/// Starts `binary` with its data in `home`, and with more `settings`, `key=value`.
pub(crate) fn start(binary: &Path, home: &Path, core: Option<usize>, settings: &[&str]) -> Result<Ready> {
    let address = free_address()?;
    let listeners = format!("listeners=PLAINTEXT://{address}");
    let mut command = command(binary, home, &[&[listeners.as_str()], settings].concat());
    let started = Stopwatch::start();
    let mut process = Background::start(&mut command, core, &home.join("stderr"))?;
    let start_time = first_metadata(&mut process, address, &started)?;
    Ok(Ready { process, address, start_time })
}

/// The command that runs `binary` in the foreground with its data in `home`.
pub(crate) fn command(binary: &Path, home: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.arg("serve");
    // A setting of the caller's environment would change what is measured, and our own variable is none of its keys.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"OTTLA_")) {
        command.env_remove(name);
    }
    let log_dirs = format!("log.dirs={}", home.join("data").display());
    for setting in ["ottla.http.listener=127.0.0.1:0", &log_dirs].iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command
}
