//! Burrow 1.2.1, as Debian has it, watches the lag of a live group: it reads `__consumer_offsets` by itself.
//!
//! Apache Kafka 4.3.1 fails this test: it has given up ListOffsets 0, which this Burrow sends, and writes committed
//! offsets in a version that this Burrow does not know.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use client_tests::group::SETTINGS;
use client_tests::group::client::{GroupClient, Protocol};
use client_tests::group::flow::Flow;
use client_tests::group::running::{PARTITIONS, RunningGroup};
use client_tests::service::Service;
use client_tests::target::{Target, skip_on_foreign_broker};
use client_tests::tools::debian;
use client_tests::wait::wait_until;
use serde_json::Value;
use tempfile::TempDir;

/// The longest that a change may take to show in Burrow.
const LIMIT: Duration = Duration::from_secs(60);

/// A running Burrow that watches one broker.
struct Burrow {
    service: Service,
    _home: TempDir,
}

impl Burrow {
    fn watching(bootstrap: &str) -> Result<Option<Burrow>> {
        let Some(program) = debian::burrow()? else { return Ok(None) };
        let home = TempDir::with_prefix("ottla-burrow-")?;
        let zookeeper = zookeeper()?;
        let pid_file = home.path().join("pid");
        let kafka = format!("class-name=\"kafka\"\nservers=[\"{bootstrap}\"]\nclient-profile=\"p\"\n");
        let config = format!(
            "[general]\npidfile=\"{}\"\n\
             [zookeeper]\nservers=[\"{zookeeper}\"]\ntimeout=6\nroot-path=\"/burrow\"\n\
             [client-profile.p]\nclient-id=\"burrow\"\nkafka-version=\"2.0.0\"\n\
             [cluster.local]\n{kafka}topic-refresh=2\noffset-refresh=1\n\
             [consumer.local]\n{kafka}cluster=\"local\"\nstart-latest=false\n\
             [httpserver.default]\naddress=\"127.0.0.1:0\"\n\
             [evaluator.default]\nclass-name=\"caching\"\nexpire-cache=1\n\
             [storage.default]\nclass-name=\"inmemory\"\nintervals=5\nmin-distance=1\n",
            pid_file.display()
        );
        std::fs::write(home.path().join("burrow.toml"), config)?;
        let mut command = Command::new(program);
        command.arg("--config-dir").arg(home.path());
        let service = Service::start(command, |line| {
            let (_, address) =
                line.split_once("\"msg\":\"started listener\"")?.1.split_once("\"listener\":\"")?;
            address.split('"').next()
        })?;
        Ok(Some(Burrow { service, _home: home }))
    }

    /// Waits until what Burrow knows of a group is so.
    fn expect(&self, group: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
        let mut last = Value::Null;
        wait_until(LIMIT, what, || {
            // A group that is not known yet is not found.
            if let Ok(body) = self.service.get(&format!("/v3/kafka/local/consumer/{group}/lag")) {
                last = serde_json::from_str(&body)?;
            }
            let status = &last["status"];
            let known = status["partitions"].as_array().map_or(0, Vec::len);
            Ok(known == PARTITIONS as usize && holds(status))
        })
        .with_context(|| format!("Burrow last said {last}"))
    }
}

/// Answers as much of ZooKeeper as Burrow needs to start, and returns where. Burrow wants one and, without notifiers,
/// keeps nothing in it.
fn zookeeper() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // It ends when Burrow does.
            std::thread::spawn(move || serve_zookeeper(stream));
        }
    });
    Ok(address)
}

/// A frame is its i32 size and its bytes. The first one opens a session: protocol i32, last zxid i64, timeout i32; the
/// answer: protocol i32, timeout i32, session i64, a password. Then requests: xid i32, operation i32, a body; answers:
/// xid i32, zxid i64, error i32, a body.
fn serve_zookeeper(mut stream: TcpStream) -> Result<()> {
    const CREATE: i32 = 1;
    const PING: i32 = 11;
    const ROOT: &[u8] = b"\0\0\0\x07/burrow";
    let opening = zookeeper_frame(&mut stream)?;
    let timeout = opening.get(12..16).context("no timeout")?;
    send_zookeeper(&mut stream, &[&[0; 4], timeout, &[0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 0, 16], &[0; 16]])?;
    loop {
        let request = zookeeper_frame(&mut stream)?;
        let xid = request.get(..4).context("no xid")?;
        let operation =
            i32::from_be_bytes(*request.get(4..).and_then(<[u8]>::first_chunk).context("no operation")?);
        let created = request.get(8..).filter(|body| operation == CREATE && body.starts_with(ROOT));
        // Whatever else it asks for, the lock of its notifiers, it may wait for.
        if created.is_some() || operation == PING {
            let path = if operation == CREATE { ROOT } else { &[] };
            send_zookeeper(&mut stream, &[xid, &[0; 12], path])?;
        }
    }
}

fn zookeeper_frame(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size))?];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn send_zookeeper(stream: &mut TcpStream, parts: &[&[u8]]) -> Result<()> {
    let body = parts.concat();
    stream.write_all(&u32::try_from(body.len())?.to_be_bytes())?;
    Ok(stream.write_all(&body)?)
}

#[test]
fn burrow_watches_a_live_group() -> Result<()> {
    if skip_on_foreign_broker("burrow") {
        return Ok(());
    }
    // Burrow asks for each partition of that topic in turn, and each question waits behind a fetch of those before.
    let target = Target::start_with(&[&SETTINGS[..], &["offsets.topic.num.partitions=4"]].concat())?;
    // A client that names topics in its commits: those by topic ids (OffsetCommit 10) are kept with them, in a version
    // that this Burrow does not know.
    let group = RunningGroup::new(target.bootstrap(), GroupClient::Confluent(Protocol::Range))?;
    let (Some(mut group), Some(burrow)) = (group, Burrow::watching(target.bootstrap())?) else {
        return Ok(());
    };
    let name = group.name().to_owned();
    let mut flow = Flow::start(target.bootstrap(), group.topic())?;
    group.start(2)?;
    group.rest("two members share")?;
    burrow.expect(&name, "Burrow sees a group that keeps up", |status| status["status"] == "OK")?;
    // Nobody reads now, and records go on coming.
    group.leave(2)?;
    let lag = |status: &Value| status["totallag"].as_u64().unwrap_or_default();
    burrow.expect(&name, "Burrow sees the lag grow", |status| lag(status) > 60)?;
    group.start(1)?;
    group.rest("a new member catches up")?;
    flow.finish()?;
    group.drain(&flow.ledger().acknowledged_ends())?;
    burrow.expect(&name, "Burrow sees that the lag is gone", |status| lag(status) == 0)?;
    let ends = flow.ledger().acknowledged_ends();
    burrow.expect(&name, "Burrow has the last commit of each partition", |status| {
        let partitions = status["partitions"].as_array().into_iter().flatten();
        partitions.into_iter().all(|partition| {
            let index = partition["partition"].as_u64().and_then(|index| usize::try_from(index).ok());
            let end = index.and_then(|index| ends.get(index));
            end.is_some_and(|end| partition["end"]["offset"].as_i64() == Some(*end))
        })
    })
}
