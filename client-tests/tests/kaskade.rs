//! kaskade, a terminal UI for topics and their records.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use client_tests::target::{Target, unique_topic};
use client_tests::tools;

/// Seconds that it may take to show what is there.
const PATIENCE: &str = "120";

/// Runs kaskade with a home of its own until it has shown these texts.
fn shows(python: &std::path::Path, texts: &[&str], arguments: &[&str]) -> Result<()> {
    let home = tempfile::tempdir()?;
    let mut command = Command::new(python);
    command.arg(tools::program("python/in_terminal.py")).arg(PATIENCE).args(texts).arg("--");
    command.arg(python.with_file_name("kaskade")).args(arguments).env("HOME", home.path());
    let output = command.output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn topics_and_their_records_are_shown() -> Result<()> {
    let target = Target::start()?;
    let (Some(python), Some(kcat)) = (tools::python::with_kaskade()?, tools::kcat::kcat()?) else {
        return Ok(());
    };
    let (topic, bootstrap) = (&*unique_topic("kaskade"), target.bootstrap());
    let lines = tempfile::NamedTempFile::new()?;
    fs::write(lines.path(), "sensor-1:21.5\nsensor-2:22.5\n")?;
    let file = lines.path().to_string_lossy();
    tools::run(kcat, ["-b", bootstrap, "-t", topic, "-P", "-K:", "-l", &*file])?;
    shows(&python, &[topic], &["admin", "-b", bootstrap])?;
    let consumer = ["consumer", "-b", bootstrap, "-t", topic, "--earliest", "-k", "string", "-v", "string"];
    shows(&python, &["sensor-1", "21.5", "sensor-2", "22.5"], &consumer)
}
