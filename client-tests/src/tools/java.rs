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

/// The programs around the newest Java client, which share its jars.
const CLIENT_PROGRAMS: [&str; 3] = ["ClientDriver", "GroupMember", "Load"];

/// The program that drives the newest Java client.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn client_driver() -> Result<Option<JavaProgram>> {
    prepare("client", &CLIENT_PROGRAMS, "ClientDriver")
}

/// The newest Java client as a member of a group.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn group_member() -> Result<Option<JavaProgram>> {
    prepare("client", &CLIENT_PROGRAMS, "GroupMember")
}

/// The newest Java client as a producer that never stops by itself.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn load() -> Result<Option<JavaProgram>> {
    prepare("client", &CLIENT_PROGRAMS, "Load")
}

/// The program that runs Kafka's command line tools, many in one process.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn tool_runner() -> Result<Option<JavaProgram>> {
    prepare("tools", &["ToolRunner"], "ToolRunner")
}

/// Kafka's own consumer for tests, in a process of its own, since it has to be stopped and killed.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn verifiable_consumer() -> Result<Option<JavaProgram>> {
    prepare("tools", &["ToolRunner"], "org.apache.kafka.tools.VerifiableConsumer")
}

/// Kafka's own producer for tests, in a process of its own: it prints the last outcomes while that ends.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn verifiable_producer() -> Result<Option<JavaProgram>> {
    prepare("tools", &["ToolRunner"], "org.apache.kafka.tools.VerifiableProducer")
}

/// Kafka's comparison of replicas, in a process of its own, since it never ends by itself.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn replica_verification() -> Result<Option<JavaProgram>> {
    prepare("tools", &["ToolRunner"], "org.apache.kafka.tools.ReplicaVerificationTool")
}

/// Apache Kafka itself, in whose sets a test shows that it is right.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn kafka_server() -> Result<Option<JavaProgram>> {
    prepare("tools", &["ToolRunner"], "kafka.Kafka")
}

/// What formats Apache Kafka's directories, in a process of its own.
///
/// # Errors
/// Where `CI` is set and it cannot be had.
pub fn kafka_storage_tool() -> Result<Option<JavaProgram>> {
    prepare("tools", &["ToolRunner"], "kafka.tools.StorageTool")
}

/// Fetches the jars that `programs/java/NAME/pom.xml` names, compiles the programs beside it, and names the class to run.
fn prepare(name: &str, programs: &[&str], class: &'static str) -> Result<Option<JavaProgram>> {
    let project = program("java").join(name);
    let pom = project.join("pom.xml");
    let sources: Vec<_> =
        programs.iter().map(|program| project.join(program).with_extension("java")).collect();
    let mut contents = fs::read_to_string(&pom)?;
    for source in &sources {
        contents += &fs::read_to_string(source)?;
    }
    let outcome = installed(&format!("java-{name}"), &contents, |directory| {
        let mut output = OsString::from("-DoutputDirectory=");
        output.push(directory);
        let fetch = ["--quiet", "--batch-mode", "--file"].map(OsString::from);
        let goal = [pom.into(), "dependency:copy-dependencies".into(), output];
        run("mvn", fetch.into_iter().chain(goal)).context("the jars cannot be fetched")?;
        let jars = class_path(directory)?;
        let compile: [OsString; 5] =
            ["-Xlint:all,-processing".into(), "-cp".into(), jars, "-d".into(), directory.into()];
        run("javac", compile.into_iter().chain(sources.into_iter().map(Into::into)))
            .context("the programs cannot be compiled")?;
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
