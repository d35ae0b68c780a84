//! Apache Kafka: fetched by Maven, formatted, started as its own script starts it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::clock::Stopwatch;
use crate::process::{Background, on_core, run};
use crate::side_by_side::Running;
use crate::wire::{first_metadata, free_address};
use crate::workspace;

/// Names the cluster in the format step; any 16 bytes in base 64 do.
const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
/// The heap and the collector, as Kafka's start script has them. Source: kafka-server-start.sh, kafka-run-class.sh.
const BROKER_JVM: [&str; 7] = [
    "-Xms1g",
    "-Xmx1g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];

/// The jars, and our consumer compiled against them.
#[derive(Debug)]
pub(crate) struct Kafka {
    class_path: OsString,
}

impl Kafka {
    /// Fetches and compiles what is not there yet, below `target/bench`.
    pub(crate) fn install() -> Result<Self> {
        let sources = workspace::bench_dir().join("kafka");
        let pom = sources.join("pom.xml");
        let consumer = sources.join("AssignedConsumer.java");
        let target = workspace::target_dir().join("kafka");
        let classes = target.join("classes");
        let jars = target.join("jars");
        let class_path = std::env::join_paths([&classes, &jars.join("*")])?;
        let stamp = target.join("stamp");
        let contents = fs::read_to_string(&pom)? + &fs::read_to_string(&consumer)?;
        if fs::read_to_string(&stamp).is_ok_and(|found| found == contents) {
            return Ok(Self { class_path });
        }
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        fs::create_dir_all(&classes)?;
        let mut output = OsString::from("-DoutputDirectory=");
        output.push(&jars);
        let mut fetch = Command::new("mvn");
        fetch.args(["--quiet", "--batch-mode", "--file"]).arg(&pom).arg("dependency:copy-dependencies");
        run(fetch.arg(output)).context("the jars of Apache Kafka cannot be fetched")?;
        let mut compile = Command::new("javac");
        run(compile.arg("-cp").arg(&class_path).arg("-d").arg(&classes).arg(&consumer))?;
        fs::write(&stamp, contents)?;
        Ok(Self { class_path })
    }

    /// A Java program with Kafka's jars, before its arguments.
    pub(crate) fn java<S: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = S>, class: &str) -> Command {
        let mut logging = OsString::from("-Dlog4j2.configurationFile=");
        logging.push(workspace::bench_dir().join("kafka/log4j2.xml"));
        let mut command = Command::new("java");
        command.args(options).arg(logging).arg("-cp").arg(&self.class_path).arg(class);
        command
    }

    /// Formats the empty directory that the properties name.
    pub(crate) fn format(&self, properties: &Path) -> Result<()> {
        let mut format = self.java(["-Xmx256m"], "kafka.tools.StorageTool");
        run(format.args(["format", "-t", CLUSTER_ID, "-c"]).arg(properties))?;
        Ok(())
    }

    /// The command of a node in the foreground.
    pub(crate) fn broker(&self, properties: &Path) -> Command {
        let mut broker = self.java(BROKER_JVM, "kafka.Kafka");
        broker.arg(properties);
        broker
    }

    /// Starts a node with its data in `home`, which it formats where it is empty, and waits for its first answer.
    pub(crate) fn start(&self, home: &Path, core: Option<usize>, settings: &[&str]) -> Result<Running> {
        let address = free_address()?;
        let properties = write_properties(home, &address.to_string(), settings)?;
        let started = Stopwatch::start();
        if !home.join("data").exists() {
            on_core(core, || self.format(&properties))?;
        }
        let format_time = started.elapsed();
        let started = Stopwatch::start();
        let mut process = Background::start(&mut self.broker(&properties), core, &home.join("stderr"))?;
        let start_time = first_metadata(&mut process, address, &started)?;
        Ok(Running { process, address, format_time, start_time })
    }
}

/// One node that is broker and controller, with internal topics of one replica.
fn write_properties(home: &Path, address: &str, settings: &[&str]) -> Result<PathBuf> {
    let controller = free_address()?;
    let data = home.join("data");
    let text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@{controller}\n\
         listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{address}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         {}\n",
        data.display(),
        settings.join("\n")
    );
    let path = home.join("server.properties");
    fs::write(&path, text)?;
    Ok(path)
}
