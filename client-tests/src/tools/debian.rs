//! Programs from Debian's packages, unpacked below `target/` and not installed: nothing is started, and no root is needed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{installed, missing, run};

/// Debian's Prometheus.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn prometheus() -> Result<Option<PathBuf>> {
    unpacked("prometheus", "usr/bin/prometheus")
}

/// A program of a package, by its path in there.
fn unpacked(package: &str, program: &str) -> Result<Option<PathBuf>> {
    let outcome = installed(&format!("debian-{package}"), package, |directory| {
        download(directory, package).or_else(|_| {
            run("apt-get", ["-qq", "update"])?;
            download(directory, package)
        })?;
        let archive = std::fs::read_dir(directory)?.next().context("no package came")??.path();
        run("dpkg-deb", ["--extract".as_ref(), archive.as_os_str(), directory.as_os_str()])?;
        Ok(())
    });
    match outcome {
        Ok(directory) => Ok(Some(directory.join(program))),
        Err(error) => missing(package, &format!("{error:#}")),
    }
}

/// Downloads a package into a directory, which is where `apt-get` puts it.
fn download(directory: &Path, package: &str) -> Result<()> {
    let mut change = directory.as_os_str().to_owned();
    change.push("/");
    // Without a user of its own for downloads, since that one may not write below `target/`.
    let script = "cd \"$0\" && exec apt-get -qq -o APT::Sandbox::User=root download \"$1\"";
    run("sh", ["-c".as_ref(), OsStr::new(script), &change, package.as_ref()])?;
    Ok(())
}
