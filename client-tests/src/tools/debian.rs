//! Programs from Debian's packages: unpacked below `target/` where a program stands alone (no root is needed, and no
//! service is started), installed where it needs libraries of others.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{installed, missing, run};

/// Debian's Prometheus.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn prometheus() -> Result<Option<PathBuf>> {
    unpacked("prometheus", "usr/bin/prometheus")
}

/// Makes sure that `program` of `package` is there, by `apt-get` where it is missing and that is possible; `version` is
/// the argument with which it prints its version.
///
/// # Errors
/// Where `CI` is set and the program cannot be had.
pub fn install(package: &str, program: &'static str, version: &str) -> Result<Option<&'static str>> {
    let is_there = || Command::new(program).arg(version).output().is_ok_and(|output| output.status.success());
    if is_there() {
        return Ok(Some(program));
    }
    if !rustix::process::getuid().is_root() {
        return missing(program, "it is not installed, and only root can install it");
    }
    let outcome = installed(program, &format!("apt-get install {package}"), |_| {
        run("apt-get", ["-qq", "-y", "install", package]).or_else(|_| {
            run("apt-get", ["-qq", "update"])?;
            run("apt-get", ["-qq", "-y", "install", package])
        })?;
        Ok(())
    });
    match outcome {
        Ok(_) if is_there() => Ok(Some(program)),
        Ok(_) => missing(program, "apt-get installed it, and it still does not run"),
        Err(error) => missing(program, &format!("{error:#}")),
    }
}

/// Debian's Burrow, which watches the lag of groups.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn burrow() -> Result<Option<PathBuf>> {
    unpacked("burrow", "usr/bin/Burrow")
}

/// Debian's library that lets a program see another time of day.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn faketime() -> Result<Option<PathBuf>> {
    let library = format!("usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    unpacked("libfaketime", &library)
}

/// Packages below `target/`, with the libraries that the machine lacks.
#[derive(Debug)]
pub struct Unpacked {
    root: PathBuf,
}

impl Unpacked {
    /// Where a file of a package is: unpacked, or where the package is installed.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        let unpacked = self.root.join(path);
        if unpacked.exists() { unpacked } else { Path::new("/").join(path) }
    }

    /// A program, with the libraries beside it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        let libraries = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
        // syslog-ng keeps a library of its own beside its modules.
        let own = self.root.join("usr/lib/syslog-ng");
        let directories = [self.root.join("usr").join(&libraries), self.root.join(&libraries), own];
        command.env("LD_LIBRARY_PATH", std::env::join_paths(directories).unwrap_or_default());
        command
    }
}

/// rsyslog, collectd and mosquitto, with what they need to write into topics.
///
/// # Errors
/// Where `CI` is set and they cannot be had.
pub fn shippers() -> Result<Option<Unpacked>> {
    together("shippers", &["rsyslog", "rsyslog-kafka", "collectd-core", "mosquitto", "mosquitto-clients"])
}

/// syslog-ng, which Debian does not let be beside rsyslog, with what it needs to write into topics.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn syslog_ng() -> Result<Option<Unpacked>> {
    together("syslog-ng", &["syslog-ng-core", "syslog-ng-mod-rdkafka"])
}

/// Packages that are unpacked into one directory, with what of their libraries is not installed.
fn together(name: &str, packages: &[&str]) -> Result<Option<Unpacked>> {
    let outcome = installed(&format!("debian-{name}"), &packages.join(" "), |directory| {
        download_missing(directory, packages).or_else(|_| {
            run("apt-get", ["-qq", "update"])?;
            download_missing(directory, packages)
        })?;
        for archive in std::fs::read_dir(directory.join("archives"))? {
            let archive = archive?.path();
            if archive.is_file() {
                run("dpkg-deb", ["--extract".as_ref(), archive.as_os_str(), directory.as_os_str()])?;
            }
        }
        Ok(())
    });
    match outcome {
        Ok(root) => Ok(Some(Unpacked { root })),
        Err(error) => missing(&packages.join(", "), &format!("{error:#}")),
    }
}

/// Downloads what of the packages, and of what they need, is not installed, into `archives` of the directory.
fn download_missing(directory: &Path, packages: &[&str]) -> Result<()> {
    let archives = directory.join("archives");
    std::fs::create_dir_all(archives.join("partial"))?;
    let cache = format!("Dir::Cache::archives={}", archives.display());
    let options = ["-o", &cache, "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"];
    let action = ["-qq", "-y", "--no-install-recommends", "--download-only", "install"];
    run("apt-get", options.iter().chain(&action).chain(packages))?;
    Ok(())
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
