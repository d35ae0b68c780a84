//! Ottla's command line, pointed at a broker.

use std::io::Write as _;
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::node;

/// A command such as `ottla topics`, pointed at one broker.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    name: &'a str,
    bootstrap: &'a str,
}

impl<'a> CommandLine<'a> {
    /// `ottla NAME --bootstrap BOOTSTRAP`.
    #[must_use]
    pub fn new(name: &'a str, bootstrap: &'a str) -> Self {
        Self { name, bootstrap }
    }

    /// Runs it with arguments that spaces separate, until it ends.
    ///
    /// # Errors
    /// When the process cannot be run.
    pub fn run(&self, arguments: &str) -> Result<Output> {
        let mut command = node::command()?;
        command.arg(self.name).args(arguments.split_whitespace()).args(["--bootstrap", self.bootstrap]);
        Ok(command.output()?)
    }

    /// The same with something to read on standard input. It must succeed; returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn fed(&self, arguments: &str, input: &[u8]) -> Result<String> {
        let mut command = node::command()?;
        command.arg(self.name).args(arguments.split_whitespace()).args(["--bootstrap", self.bootstrap]);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        process.stdin.take().context("standard input is piped")?.write_all(input)?;
        let output = process.wait_with_output()?;
        ensure!(output.status.success(), "{} {arguments}: {output:?}", self.name);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What a command that must succeed prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn text(&self, arguments: &str) -> Result<String> {
        let output = self.run(arguments)?;
        ensure!(output.status.success(), "{} {arguments}: {output:?}", self.name);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What a command that must succeed prints for scripts.
    ///
    /// # Errors
    /// When it fails, or prints no JSON.
    pub fn json(&self, arguments: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(&format!("{arguments} --output json"))?)?)
    }

    /// The one line that a command that must fail with this code prints on standard error.
    ///
    /// # Errors
    /// When it does something else.
    pub fn refusal(&self, arguments: &str, exit_code: i32) -> Result<String> {
        let output = self.run(arguments)?;
        let said = String::from_utf8(output.stderr.clone())?;
        ensure!(output.status.code() == Some(exit_code), "{} {arguments}: {output:?}", self.name);
        ensure!(
            output.stdout.is_empty() && said.lines().count() == 1,
            "{} {arguments}: {output:?}",
            self.name
        );
        Ok(said)
    }
}
