//! Where things are: the source tree, what cargo builds, and the binary that is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::process::run;

/// The folder of this crate.
pub(crate) fn bench_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `target/bench`, where everything that is fetched, compiled or written by default goes.
pub(crate) fn target_dir() -> PathBuf {
    let root = bench_dir().parent().unwrap_or(bench_dir());
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("bench")
}

/// The binary named by `OTTLA_BINARY`, otherwise a release build of this workspace.
pub(crate) fn ottla_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("OTTLA_BINARY") {
        return Ok(PathBuf::from(path));
    }
    let manifest = bench_dir().parent().unwrap_or(bench_dir()).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "ottla", "--bin", "ottla", "--manifest-path"])
        .arg(manifest))?;
    let target = target_dir();
    Ok(target.parent().unwrap_or(&target).join("release/ottla"))
}

/// A new directory below `parent`, removed when dropped.
pub(crate) fn scratch(parent: &Path) -> Result<TempDir> {
    std::fs::create_dir_all(parent)?;
    TempDir::with_prefix_in("run-", parent).with_context(|| format!("no directory in {}", parent.display()))
}
