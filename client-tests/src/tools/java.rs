//! The Java client and Kafka's own tools: jars by Maven, our programs compiled against them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{installed, missing, program, run};

/// A Java program that is ready to run.
#[derive(Debug)]
pub struct JavaProgram {
    class_path: OsString,
    class: &'static str,
}

impl JavaProgram {
    /// Arguments for `java`. A small heap and the serial collector keep many of them beside a broker on two cores.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = [
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
        ]
        .map(OsString::from)
        .into();
        arguments.push(self.class_path.clone());
        arguments.push(self.class.into());
        arguments
    }
}

/// The program that drives the newest Java client.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn client_driver() -> Result<Option<JavaProgram>> {
    prepare("client", "ClientDriver")
}

/// The program that runs Kafka's command line tools, many in one process.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn tool_runner() -> Result<Option<JavaProgram>> {
    prepare("tools", "ToolRunner")
}

/// Fetches the jars that `programs/java/NAME/pom.xml` names and compiles the class beside it.
fn prepare(name: &str, class: &'static str) -> Result<Option<JavaProgram>> {
    let project = program("java").join(name);
    let pom = project.join("pom.xml");
    let source = project.join(class).with_extension("java");
    let contents = fs::read_to_string(&pom)? + &fs::read_to_string(&source)?;
    let outcome = installed(&format!("java-{name}"), &contents, |directory| {
        let mut output = OsString::from("-DoutputDirectory=");
        output.push(directory);
        let fetch = ["--quiet", "--batch-mode", "--file"].map(OsString::from);
        let goal = [pom.into(), "dependency:copy-dependencies".into(), output];
        run("mvn", fetch.into_iter().chain(goal)).context("the jars cannot be fetched")?;
        let jars = class_path(directory)?;
        let compile: [OsString; 6] = [
            "-Xlint:all,-processing".into(),
            "-cp".into(),
            jars,
            "-d".into(),
            directory.into(),
            source.into(),
        ];
        run("javac", compile).context("the program cannot be compiled")?;
        Ok(())
    });
    match outcome {
        Ok(directory) => Ok(Some(JavaProgram { class_path: class_path(&directory)?, class })),
        Err(error) => missing("Java", &format!("{error:#}")),
    }
}

/// The directory's classes, then its jars, as Java writes them.
fn class_path(directory: &Path) -> Result<OsString> {
    Ok(std::env::join_paths([directory.to_owned(), directory.join("*")])?)
}
