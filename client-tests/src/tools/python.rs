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

/// The interpreter of the environment.
///
/// # Errors
/// Where `CI` is set and the environment cannot be made.
pub fn interpreter() -> Result<Option<PathBuf>> {
    let outcome = installed("venv", &PACKAGES.join("\n"), |directory| {
        run("python3", ["-m".as_ref(), "venv".as_ref(), directory.as_os_str()])?;
        let arguments = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install"];
        run(directory.join("bin/python"), arguments.iter().chain(&PACKAGES))?;
        Ok(())
    });
    match outcome {
        Ok(directory) => Ok(Some(directory.join("bin/python"))),
        Err(error) => missing("the Python clients", &format!("{error:#}")),
    }
}
