//! The shippers of logs and measurements that Debian has, as people set them up: an address and a topic, nothing else.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use client_tests::replica_set::network::own_host;
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
    fn new(topic: &str, programs: Result<Option<Unpacked>>) -> Result<Option<World>> {
        let (Some(programs), Some(reader)) = (programs?, kcat()?) else { return Ok(None) };
        let home = TempDir::with_prefix("ottla-shipper-")?;
        Ok(Some(World { programs, reader, target: Target::start()?, topic: unique_topic(topic), home }))
    }

    /// Sends a thousand numbered lines to a shipper that listens there, and waits until each of them is there once, in
    /// their order. `line` is what carries a message.
    fn expect_every_line_once(&self, address: &str, line: impl Fn(&str) -> String) -> Result<()> {
        let messages: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
        let mut stream = TcpStream::connect(address)?;
        for message in &messages {
            writeln!(stream, "{}", line(message))?;
        }
        drop(stream);
        wait_until(LIMIT, "all lines were shipped", || Ok(self.shipped()?.len() >= messages.len()))?;
        let shipped = self.shipped()?;
        ensure!(shipped == messages, "{} lines, or in another order: {shipped:?}", shipped.len());
        Ok(())
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

/// Where a program listens that does not say which port it took if it were left to choose: on an address of its own, where
/// nobody else takes it meanwhile.
const PORT: &str = "5140";

/// Where syslog-ng's modules are: a directory that is named after the version, which differs between releases of Debian.
fn syslog_ng_modules(programs: &Unpacked) -> Result<PathBuf> {
    for entry in fs::read_dir(programs.path("usr/lib/syslog-ng"))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            return Ok(entry.path());
        }
    }
    bail!("syslog-ng has no directory of modules that is named after a version")
}

#[test]
fn rsyslog_ships_every_line_once() -> Result<()> {
    let Some(world) = World::new("logs", debian::shippers())? else { return Ok(()) };
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
    world.expect_every_line_once(&format!("127.0.0.1:{}", port.trim()), |message| {
        format!("<134>1 2026-01-01T00:00:00Z host program - - - {message}")
    })
}

#[test]
fn syslog_ng_ships_every_line_once() -> Result<()> {
    let Some(world) = World::new("logs", debian::syslog_ng())? else { return Ok(()) };
    let host = own_host();
    let address = format!("{host}:{PORT}");
    let modules = syslog_ng_modules(&world.programs)?;
    let version = modules.file_name().and_then(OsStr::to_str).context("it has a name")?;
    let config = format!(
        "@version: {version}\noptions {{ stats-freq(0); }};\n\
         source lines {{ network(ip(\"{host}\") port({PORT}) transport(\"tcp\") flags(no-parse)); }};\n\
         destination topic {{ kafka-c(bootstrap-servers(\"{bootstrap}\") topic(\"{topic}\") message(\"$MESSAGE\")); }};\n\
         log {{ source(lines); destination(topic); }};\n",
        bootstrap = world.target.bootstrap(),
        topic = world.topic,
    );
    fs::write(world.path("syslog-ng.conf"), config)?;
    let mut command = world.programs.command("usr/sbin/syslog-ng");
    command
        .args(["--foreground", "--no-caps", "--cfgfile", &world.path("syslog-ng.conf")])
        .args(["--persist-file", &world.path("persist"), "--pidfile", &world.path("pid")])
        .args(["--control", &world.path("control"), "--module-path"])
        .arg(&modules);
    let _syslog_ng = Running::start(command)?;
    wait_until(LIMIT, "syslog-ng listens", || Ok(TcpStream::connect(&address).is_ok()))?;
    world.expect_every_line_once(&address, str::to_owned)
}

#[test]
fn collectd_ships_measurements() -> Result<()> {
    let Some(world) = World::new("metrics", debian::shippers())? else { return Ok(()) };
    let _collectd = world.collectd("LoadPlugin load\n")?;
    wait_until(LIMIT, "the load of the machine was shipped", || {
        Ok(world.measurements()?.iter().any(|value| value["plugin"] == "load"))
    })
}

#[test]
fn message_of_a_thing_goes_through_mqtt_into_a_topic() -> Result<()> {
    let Some(world) = World::new("things", debian::shippers())? else { return Ok(()) };
    let host = own_host();
    fs::write(world.path("mosquitto.conf"), format!("listener {PORT} {host}\nallow_anonymous true\n"))?;
    let mut mosquitto = world.programs.command("usr/sbin/mosquitto");
    mosquitto.args(["-c", &world.path("mosquitto.conf")]);
    let _mosquitto = Running::start(mosquitto)?;
    let _collectd = world.collectd(&format!(
        "LoadPlugin mqtt\n<Plugin mqtt>\n  <Subscribe \"things\">\n    Host \"{host}\"\n    Port \"{PORT}\"\n    \
         Topic \"things/#\"\n  </Subscribe>\n</Plugin>\n"
    ))?;
    let message =
        ["-h", &host, "-p", PORT, "-t", "things/greenhouse/temperature-north/temperature", "-m", "N:21.5"];
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
