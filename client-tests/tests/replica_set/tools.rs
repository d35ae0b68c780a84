//! Kafka's own tools on a set: what they print is true, and what they ask for happens.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::client::Client;
use client_tests::driver::{Driver, Producing, ToolFiles};
use client_tests::history::content::Place;
use client_tests::records::{KEPT, bulk};
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;
use client_tests::replica_set::roles::{self, Role};
use client_tests::tools::java;
use client_tests::wait::wait_until;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const ELECT: &str = "org.apache.kafka.tools.LeaderElectionCommand";
const QUORUM: &str = "org.apache.kafka.tools.MetadataQuorumCommand";
/// The longest that something which a tool asked for may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest that the verification may take for its first report.
const REPORT_LIMIT: Duration = Duration::from_secs(60);

/// No pause of a busy machine takes a node out of use while a tool describes it; one that is killed is missed at once.
const UNHURRIED: &str = "broker.session.timeout.ms=3000";

/// A running set with a topic `orders` of three partitions, and the tools.
struct Fixture {
    set: ReplicaSet,
    tools: Driver,
}

impl Fixture {
    fn start() -> Result<Option<Fixture>> {
        let Some(tools) = Driver::kafka_tools()? else { return Ok(None) };
        let Some(set) = ReplicaSet::start(Product::under_test()?, &[UNHURRIED])? else { return Ok(None) };
        set.create_topic("orders", 3, &KEPT)?;
        Ok(Some(Fixture { set, tools }))
    }

    /// Runs a tool that must succeed and returns what it printed.
    fn run(&mut self, class: &str, arguments: &[&str]) -> Result<String> {
        let bootstrap = self.set.bootstrap();
        let arguments = [&["--bootstrap-server", &*bootstrap], arguments].concat();
        let output = self.tools.run_tool(class, &arguments, ToolFiles::default())?;
        ensure!(output.status == 0, "{class} {arguments:?} failed: {output:?}");
        Ok(output.stdout)
    }

    /// Asks how far a reassignment is until the answer has `wanted` in it, and returns that answer.
    fn verify_until(&mut self, plan: &str, wanted: &str) -> Result<String> {
        let mut answer = String::new();
        wait_until(LIMIT, wanted, || {
            answer = self.run(REASSIGN, &["--reassignment-json-file", plan, "--verify"])?;
            Ok(answer.contains(wanted))
        })?;
        Ok(answer)
    }

    /// Describes the topic until that is as wanted: the node that is asked may hear of a change later than another.
    fn describe_until(&mut self, what: &str, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
        let mut described = String::new();
        wait_until(LIMIT, what, || {
            described = self.run(TOPICS, &["--describe", "--topic", "orders"])?;
            Ok(is_wanted(&described))
        })
        .with_context(|| described)
    }

    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.set.home().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

fn place(partition: i32) -> Place {
    Place::new(&"orders".into(), partition)
}

#[test]
fn topics_are_described_with_who_is_in_sync() -> Result<()> {
    let Some(mut fixture) = Fixture::start()? else { return Ok(()) };
    let described = fixture.run(TOPICS, &["--describe", "--topic", "orders"])?;
    ensure!(described.contains("ReplicationFactor: 3"), "{described}");
    for line in described.lines().filter(|line| line.contains("Partition: ")) {
        let isr = field(line, "Isr:")?;
        ensure!(isr.split(',').count() == 3, "{line}");
        ensure!(isr.split(',').any(|id| Some(id) == field(line, "Leader:").ok()), "{line}");
    }
    let victim = fixture.set.who(&Role::Leader(place(0)))?;
    fixture.set.node_mut(victim)?.kill()?;
    fixture.set.wait_until_all_see("the node has left every ISR, and leads nothing", |cluster| {
        let partitions = cluster.partitions("orders");
        partitions.iter().all(|(_, view)| !view.isr.contains(&victim) && view.leader.is_some())
    })?;
    let described =
        fixture.run(TOPICS, &["--describe", "--under-replicated-partitions", "--topic", "orders"])?;
    let gone = victim.to_string();
    let lines: Vec<&str> = described.lines().filter(|line| line.contains("Partition: ")).collect();
    ensure!(lines.len() == 3, "three partitions are under-replicated: {described}");
    for line in lines {
        ensure!(field(line, "Leader:")? != gone, "{line}");
        ensure!(field(line, "Isr:")?.split(',').all(|id| id != gone), "{line}");
    }
    Ok(())
}

#[test]
fn topics_are_described_with_who_is_eligible_to_lead() -> Result<()> {
    let Some(mut fixture) = Fixture::start()? else { return Ok(()) };
    fixture.set.create_topic("strict", 1, &[("min.insync.replicas", "3")])?;
    let strict = Place::new(&"strict".into(), 0);
    let whole = fixture.run(TOPICS, &["--describe", "--topic", "strict"])?;
    ensure!(field(&whole, "Elr:")?.is_empty(), "{whole}");
    let victim = fixture.set.who(&Role::Leader(strict.clone()))?;
    fixture.set.node_mut(victim)?.kill()?;
    fixture.set.wait_until_all_see("another node leads", |cluster| {
        let view = cluster.partitions.get(&strict);
        view.is_some_and(|view| view.leader.is_some_and(|leader| leader != victim) && view.isr.len() == 2)
    })?;
    let described = fixture.run(TOPICS, &["--describe", "--topic", "strict"])?;
    ensure!(field(&described, "Elr:")? == victim.to_string(), "{described}");
    Ok(())
}

/// What stands after `name` up to a tab or the end of the line.
fn field<'a>(line: &'a str, name: &str) -> Result<&'a str> {
    let after = line.split_once(name).with_context(|| format!("no {name} in {line:?}"))?.1;
    Ok(after.split(['\t', '\n']).next().unwrap_or_default().trim())
}

#[test]
fn quorum_is_described() -> Result<()> {
    let Some(mut fixture) = Fixture::start()? else { return Ok(()) };
    let (mut status, mut controller) = (String::new(), 0);
    wait_until(LIMIT, "the quorum is described while one and the same node leads it", || {
        controller = fixture.set.who(&Role::Controller)?;
        status = fixture.run(QUORUM, &["describe", "--status"])?;
        Ok(fixture.set.who(&Role::Controller)? == controller)
    })?;
    ensure!(field(&status, "LeaderId:")? == controller.to_string(), "{status}");
    for id in fixture.set.ids() {
        let voters = status.lines().find(|line| line.starts_with("CurrentVoters:")).context("no voters")?;
        ensure!(voters.contains(&id.to_string()), "{voters}");
    }
    let replication = fixture.run(QUORUM, &["describe", "--replication"])?;
    let rows = |role: &str| replication.lines().filter(|line| line.contains(role)).count();
    ensure!(rows("Leader") == 1 && rows("Follower") == 2, "{replication}");
    Ok(())
}

#[test]
fn partitions_are_reassigned_and_leaders_elected() -> Result<()> {
    let Some(mut fixture) = Fixture::start()? else { return Ok(()) };
    let plan = fixture.file(
        "plan.json",
        r#"{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[2,1]},
            {"topic":"orders","partition":1,"replicas":[3]},{"topic":"orders","partition":2,"replicas":[3,2,1]}]}"#,
    )?;
    fixture.run(REASSIGN, &["--reassignment-json-file", &plan, "--execute"])?;
    wait_until(LIMIT, "the partitions are reassigned", || {
        let verified = fixture.run(REASSIGN, &["--reassignment-json-file", &plan, "--verify"])?;
        Ok(verified.matches("is completed").count() == 3)
    })?;
    let under_way = fixture.run(REASSIGN, &["--list"])?;
    ensure!(under_way.contains("No partition reassignments found"), "{under_way}");
    fixture.set.wait_until_all_see("the replicas are those of the plan", |cluster| {
        let mut plan = [(0, vec![2, 1]), (1, vec![3]), (2, vec![3, 2, 1])].into_iter();
        plan.all(|(partition, replicas)| {
            cluster.partitions.get(&place(partition)).is_some_and(|view| view.replicas == replicas)
        })
    })?;
    fixture.set.wait_until_whole()?;

    let which = fixture.file(
        "which.json",
        r#"{"partitions":[{"topic":"orders","partition":0},{"topic":"orders","partition":2}]}"#,
    )?;
    fixture.run(ELECT, &["--election-type", "preferred", "--path-to-json-file", &which])?;
    wait_until(LIMIT, "the preferred leaders lead", || {
        let cluster = fixture.set.cluster()?;
        let leads = |partition, leader| {
            cluster.partitions.get(&place(partition)).is_some_and(|view| view.leader == Some(leader))
        };
        Ok(leads(0, 2) && leads(2, 3))
    })
}

/// A partition of 200 KB goes to two more nodes at a kilobyte a second, which takes minutes; then without much of a throttle.
/// Once it is there, the tool takes the throttle away.
#[test]
fn reassignment_is_throttled_until_it_is_verified() -> Result<()> {
    let Some(mut fixture) = Fixture::start()? else { return Ok(()) };
    let plan = |replicas: &str| {
        format!(r#"{{"version":1,"partitions":[{{"topic":"orders","partition":1,"replicas":{replicas}}}]}}"#)
    };
    let alone = fixture.file("alone.json", &plan("[3]"))?;
    fixture.run(REASSIGN, &["--reassignment-json-file", &alone, "--execute"])?;
    fixture.verify_until(&alone, "is completed")?;
    let Some(mut client) = Client::Java.start(&fixture.set.bootstrap())? else { return Ok(()) };
    client.produce(Producing::DEFAULT, "orders", 1, &bulk(200, 1000))?;

    let whole = fixture.file("whole.json", &plan("[3,1,2]"))?;
    let move_all = ["--reassignment-json-file", &whole, "--execute", "--additional", "--throttle"];
    fixture.run(REASSIGN, &[&move_all[..], &["1000"]].concat())?;
    fixture.verify_until(&whole, "is still in progress")?;
    let throttled = "leader.replication.throttled.replicas=1:3";
    fixture.describe_until("the throttle is told", |described| described.contains(throttled))?;
    fixture.run(REASSIGN, &[&move_all[..], &["10000000"]].concat())?;
    let verified = fixture.verify_until(&whole, "is completed")?;
    for level in ["broker-level", "topic-level"] {
        ensure!(verified.contains(&format!("Clearing {level} throttles")), "{verified}");
    }
    fixture.describe_until("the throttle is gone", |described| !described.contains("throttled"))?;
    fixture.set.wait_until_whole()
}

#[test]
fn replicas_are_verified() -> Result<()> {
    let Some(fixture) = Fixture::start()? else { return Ok(()) };
    let bootstrap = fixture.set.bootstrap();
    let Some(mut client) = Client::Java.start(&bootstrap)? else { return Ok(()) };
    for partition in 0..3 {
        client.produce(Producing::DEFAULT, "orders", partition, &bulk(100, 100))?;
    }
    let Some(program) = java::replica_verification()? else { return Ok(()) };
    let mut command = Command::new("java");
    command.args(program.arguments()).args(["--broker-list", &bootstrap, "--topics-include", "orders"]);
    command.args(["--report-interval-ms", "1000", "--time", "-2"]);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = process.stdout.take().context("standard output is piped")?;
    let (sender, lines) = mpsc::sync_channel(100);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut said = Vec::new();
    // The tool goes on for ever, and says at each interval how far the replicas are apart.
    let outcome = loop {
        match lines.recv_timeout(REPORT_LIMIT) {
            Ok(line) if line.contains("max lag is 0 for") => break Ok(()),
            Ok(line) => said.push(line),
            Err(_) => break Err(anyhow::anyhow!("no report without a lag: {said:#?}")),
        }
    };
    process.kill()?;
    process.wait()?;
    drop(lines);
    ensure!(reader.join().is_ok(), "the reader panicked");
    outcome?;
    ensure!(!said.iter().any(|line| line.contains("has different")), "{said:#?}");
    let_the_set_be_whole(&fixture.set)
}

fn let_the_set_be_whole(set: &ReplicaSet) -> Result<()> {
    let missing = set.ask(roles::cluster)?.is_missing();
    ensure!(missing.is_none(), "{missing:?}");
    Ok(())
}
