//! Where the clients' runtimes are: found on the machine, or installed once under `target/client-tests/`.
//!
//! Invariants: an installation is complete when its stamp holds the versions that this source names; a file lock keeps
//! parallel test processes from installing at the same time. A runtime that cannot be had fails the test where `CI`
//! is set, and elsewhere skips it with one line on standard error.

pub mod debian;
pub mod go;
pub mod java;
pub mod kcat;
pub mod node;
pub mod python;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The root of the source tree.
#[must_use]
pub fn workspace() -> &'static Path {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir)
}

/// Where cargo puts what it builds.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The source of a client program, by its path below `programs/`.
#[must_use]
pub fn program(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(path)
}

/// Whether this run must not leave anything out.
#[must_use]
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// Turns "this machine lacks what the test needs" into a failure in CI and into a loud skip elsewhere.
///
/// # Errors
/// Where `CI` is set.
pub fn missing<T>(what: &str, reason: &str) -> Result<Option<T>> {
    if is_ci() {
        bail!("{what} is missing: {reason}");
    }
    eprintln!("SKIPPED a test: {what} is missing: {reason}");
    Ok(None)
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started or does not succeed; the error holds what it said.
pub fn run<I, S>(program: impl AsRef<OsStr>, arguments: I) -> Result<Vec<u8>>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments);
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        bail!("{command:?} ended with {}: {stderr}{stdout}", output.status);
    }
    Ok(output.stdout)
}

/// The directory `target/client-tests/NAME`, filled by `install` unless its stamp says that `contents` is in it.
///
/// # Errors
/// When `install` fails; the next call then starts over.
fn installed(name: &str, contents: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = target_dir().join("client-tests");
    fs::create_dir_all(&root)?;
    let lock = File::create(root.join(format!("{name}.lock")))?;
    lock.lock()?;
    let directory = root.join(name);
    let stamp = root.join(format!("{name}.stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|found| found == contents) && directory.is_dir() {
        return Ok(directory);
    }
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    install(&directory)?;
    fs::write(&stamp, contents)?;
    Ok(directory)
}
