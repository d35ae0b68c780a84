//! The Python clients, in a virtual environment of our own.

use std::path::PathBuf;

use anyhow::Result;

use super::{installed, missing, run};

/// What the environment holds: the clients, and the codecs that the pure-Python ones borrow.
const PACKAGES: [&str; 7] = [
    "confluent-kafka==2.16.1",
    "kafka-python==3.0.12",
    "aiokafka==0.14.0",
    "cramjam==2.14.0",
    "lz4==4.4.5",
    "python-snappy==0.7.3",
    "zstandard==0.25.0",
];

/// What kaskade needs, each package with its version: it has many, and leaves most versions open.
const KASKADE: &str = include_str!("../../programs/python/kaskade.txt");

/// The interpreter of the environment.
///
/// # Errors
/// Where `CI` is set and the environment cannot be made.
pub fn interpreter() -> Result<Option<PathBuf>> {
    environment("venv", "the Python clients", &PACKAGES)
}

/// The interpreter of an environment with kaskade, a terminal UI, whose command stands beside it.
///
/// # Errors
/// Where `CI` is set and the environment cannot be made.
pub fn with_kaskade() -> Result<Option<PathBuf>> {
    let packages: Vec<&str> = ["--no-deps"].into_iter().chain(KASKADE.lines()).collect();
    environment("venv-kaskade", "kaskade", &packages)
}

fn environment(name: &str, what: &str, packages: &[&str]) -> Result<Option<PathBuf>> {
    let outcome = installed(name, &packages.join("\n"), |directory| {
        run("python3", ["-m".as_ref(), "venv".as_ref(), directory.as_os_str()])?;
        let arguments = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install"];
        run(directory.join("bin/python"), arguments.iter().chain(packages))?;
        Ok(())
    });
    match outcome {
        Ok(directory) => Ok(Some(directory.join("bin/python"))),
        Err(error) => missing(what, &format!("{error:#}")),
    }
}
