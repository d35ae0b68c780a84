//! Which binary is under test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Result, anyhow, bail};

/// The binary named by `OTTLA_BINARY`, otherwise a release build of this workspace, made once per test process.
pub(super) fn path() -> Result<PathBuf> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PATH.get_or_init(|| find_or_build().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn find_or_build() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("OTTLA_BINARY") {
        return Ok(PathBuf::from(path));
    }
    // Without `--package` it is the very binary that `cargo run --release` makes, and is not built a second time.
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--bin", "ottla"])
        .arg("--manifest-path")
        .arg(crate::tools::workspace().join("Cargo.toml"))
        .status()?;
    if !status.success() {
        bail!("the release build failed: {status}");
    }
    Ok(crate::tools::target_dir().join("release/ottla"))
}
