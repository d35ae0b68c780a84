//! kcat, the oldest C client in the field (Debian's 1.7.1 on librdkafka 2.0.2 is the smoke gate).

use std::process::Command;

use anyhow::Result;

use super::{installed, missing, run};

/// The name of the program, installed by `apt-get` where that is possible and it is missing.
///
/// # Errors
/// Where `CI` is set and kcat cannot be had.
pub fn kcat() -> Result<Option<&'static str>> {
    if is_there() {
        return Ok(Some("kcat"));
    }
    if !rustix::process::getuid().is_root() {
        return missing("kcat", "it is not installed, and only root can install it");
    }
    let outcome = installed("kcat", "apt-get install kcat", |_| {
        run("apt-get", ["-qq", "-y", "install", "kcat"]).or_else(|_| {
            run("apt-get", ["-qq", "update"])?;
            run("apt-get", ["-qq", "-y", "install", "kcat"])
        })?;
        Ok(())
    });
    match outcome {
        Ok(_) if is_there() => Ok(Some("kcat")),
        Ok(_) => missing("kcat", "apt-get installed it, and it still does not run"),
        Err(error) => missing("kcat", &format!("{error:#}")),
    }
}

fn is_there() -> bool {
    Command::new("kcat").arg("-V").output().is_ok_and(|output| output.status.success())
}
