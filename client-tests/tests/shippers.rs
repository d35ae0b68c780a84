//! The shippers of logs and measurements that Debian has, as people set them up: an address and a topic, nothing else.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Result, ensure};
use client_tests::target::{Target, unique_topic};
use client_tests::tools::debian::{self, Unpacked};
use client_tests::tools::kcat::kcat;
use client_tests::tools::run;
use client_tests::wait::wait_until;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest that a message may take through a shipper; some collect for seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Result<Running> {
        Ok(Running(command.spawn()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("a shipper could not be killed: {error}");
        }
    }
}

/// What all these tests need: the programs, a broker, a topic and a directory.
struct World {
    programs: Unpacked,
    reader: &'static str,
    target: Target,
    topic: String,
    home: TempDir,
}

impl World {
    fn new(topic: &str) -> Result<Option<World>> {
        let (Some(programs), Some(reader)) = (debian::shippers()?, kcat()?) else { return Ok(None) };
        let home = TempDir::with_prefix("ottla-shipper-")?;
        Ok(Some(World { programs, reader, target: Target::start()?, topic: unique_topic(topic), home }))
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    /// The messages that the topic has, in order.
    fn shipped(&self) -> Result<Vec<String>> {
        let place = ["-C", "-q", "-e", "-b", self.target.bootstrap(), "-t", &self.topic];
        // Until the first message there is no topic.
        let Ok(output) = run(self.reader, place) else { return Ok(Vec::new()) };
        Ok(String::from_utf8(output)?.lines().map(str::to_owned).collect())
    }

    /// collectd, which writes what `plugins` tell it into the topic.
    fn collectd(&self, plugins: &str) -> Result<Running> {
        let (types, modules) =
            (self.programs.path("usr/share/collectd/types.db"), self.programs.path("usr/lib/collectd"));
        let config = format!(
            "BaseDir \"{home}\"\nPluginDir \"{modules}\"\nTypesDB \"{types}\"\nInterval 1\n\
             LoadPlugin write_kafka\n<Plugin write_kafka>\n  Property \"metadata.broker.list\" \"{bootstrap}\"\n  \
             <Topic \"{topic}\">\n    Format JSON\n  </Topic>\n</Plugin>\n{plugins}",
            home = self.home.path().display(),
            modules = modules.display(),
            types = types.display(),
            bootstrap = self.target.bootstrap(),
            topic = self.topic,
        );
        fs::write(self.path("collectd.conf"), config)?;
        let mut command = self.programs.command("usr/sbin/collectd");
        command.args(["-f", "-P", &self.path("collectd.pid"), "-C", &self.path("collectd.conf")]);
        Running::start(command)
    }

    /// The measurements that collectd shipped.
    fn measurements(&self) -> Result<Vec<Value>> {
        let lines = self.shipped()?;
        let lists = lines.iter().map(|line| serde_json::from_str::<Vec<Value>>(line));
        Ok(lists.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

#[test]
fn rsyslog_ships_every_line_once() -> Result<()> {
    let Some(world) = World::new("logs")? else { return Ok(()) };
    let port_file = world.path("port");
    let config = format!(
        "global(workDirectory=\"{home}\")\nmodule(load=\"imtcp\")\nmodule(load=\"omkafka\")\n\
         input(type=\"imtcp\" port=\"0\" address=\"127.0.0.1\" listenPortFileName=\"{port_file}\")\n\
         template(name=\"message\" type=\"string\" string=\"%msg%\")\n\
         action(type=\"omkafka\" broker=[\"{bootstrap}\"] topic=\"{topic}\" template=\"message\")\n",
        home = world.home.path().display(),
        bootstrap = world.target.bootstrap(),
        topic = world.topic,
    );
    fs::write(world.path("rsyslog.conf"), config)?;
    let mut command = world.programs.command("usr/sbin/rsyslogd");
    let modules = world.programs.path(&format!("usr/lib/{}-linux-gnu/rsyslog", std::env::consts::ARCH));
    command.args(["-n", "-i", &world.path("pid"), "-f", &world.path("rsyslog.conf"), "-M"]).arg(modules);
    let _rsyslog = Running::start(command)?;
    let mut port = String::new();
    wait_until(LIMIT, "rsyslog listens", || {
        port = fs::read_to_string(&port_file).unwrap_or_default();
        Ok(!port.is_empty())
    })?;
    let mut lines = TcpStream::connect(format!("127.0.0.1:{}", port.trim()))?;
    for number in 0..1000 {
        writeln!(lines, "<134>1 2026-01-01T00:00:00Z host program - - - line {number}")?;
    }
    drop(lines);
    let expected: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
    wait_until(LIMIT, "all lines were shipped", || Ok(world.shipped()?.len() >= expected.len()))?;
    let shipped = world.shipped()?;
    ensure!(shipped == expected, "{} lines, or in another order: {shipped:?}", shipped.len());
    Ok(())
}

#[test]
fn collectd_ships_measurements() -> Result<()> {
    let Some(world) = World::new("metrics")? else { return Ok(()) };
    let _collectd = world.collectd("LoadPlugin load\n")?;
    wait_until(LIMIT, "the load of the machine was shipped", || {
        Ok(world.measurements()?.iter().any(|value| value["plugin"] == "load"))
    })
}

#[test]
fn message_of_a_thing_goes_through_mqtt_into_a_topic() -> Result<()> {
    let Some(world) = World::new("things")? else { return Ok(()) };
    // Nothing says which port mosquitto took if it were left to choose.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    fs::write(world.path("mosquitto.conf"), format!("listener {port} 127.0.0.1\nallow_anonymous true\n"))?;
    let mut mosquitto = world.programs.command("usr/sbin/mosquitto");
    mosquitto.args(["-c", &world.path("mosquitto.conf")]);
    let _mosquitto = Running::start(mosquitto)?;
    let _collectd = world.collectd(&format!(
        "LoadPlugin mqtt\n<Plugin mqtt>\n  <Subscribe \"things\">\n    Host \"127.0.0.1\"\n    Port \"{port}\"\n    \
         Topic \"things/#\"\n  </Subscribe>\n</Plugin>\n"
    ))?;
    let message = [
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "things/greenhouse/temperature-north/temperature",
        "-m",
        "N:21.5",
    ];
    wait_until(LIMIT, "a temperature was shipped", || {
        // A thing sends again and again; the first times neither mosquitto nor collectd may be there yet.
        world.programs.command("usr/bin/mosquitto_pub").args(message).output()?;
        Ok(world.measurements()?.iter().any(|value| {
            value["host"] == "greenhouse"
                && value["plugin_instance"] == "north"
                && value["values"] == json!([21.5])
        }))
    })
}
