//! Kafka's own programs that subscribe: `ConsumerPerformance` and `EndToEndLatency`.

use anyhow::{Context as _, Result, ensure};

use super::Setting;
use crate::compare::clients::{CLIENT_JVM, Clients, Pace, Production};
use crate::compare::second_of_two;
use crate::process::run;
use crate::side_by_side::Figures;
use crate::table::cpu_per_gb;
use crate::wire::create_topic;

const PARTITIONS: i32 = 6;
const RECORD_BYTES: u64 = 1024;
/// How long the consumer waits for its first record: a broker that is new makes its topic of offsets meanwhile.
const PATIENCE_MS: &str = "60000";
/// Records that are sent and received one by one.
const LATENCY_RECORDS: u32 = 5000;

pub(super) fn measure(setting: &Setting<'_>, figures: &mut Figures) -> Result<()> {
    let home = setting.contenders.home()?;
    let running = setting.contenders.start(setting.contender, home.path(), &[])?;
    let kafka = &setting.contenders.kafka;
    let address = running.address.to_string();
    create_topic(running.address, "bench-programs", PARTITIONS)?;
    let records = setting.options.megabytes * 1_000_000 / RECORD_BYTES;
    let clients = Clients { kafka, bootstrap: address.clone() };
    clients.produce(&Production {
        topic: "bench-programs",
        records,
        record_bytes: RECORD_BYTES,
        batch_bytes: 64 * 1024,
        pace: Pace::Full,
    })?;

    // Each run reads as a group of its own, from the beginning.
    let (consumed, cpu) = second_of_two(&running.process, || {
        let mut program = kafka.java(CLIENT_JVM, "org.apache.kafka.tools.ConsumerPerformance");
        program.args(["--bootstrap-server", &address, "--topic", "bench-programs", "--hide-header"]);
        program.args(["--num-records", &records.to_string(), "--timeout", PATIENCE_MS]);
        parse_consumed(&run(&mut program)?)
    })?;
    ensure!(consumed.records >= records, "{} of {records} records were consumed", consumed.records);
    let bytes = records * RECORD_BYTES;
    figures.add("ConsumerPerformance, 1 KiB: CPU-s/GB of the broker", cpu_per_gb(cpu, bytes));
    figures.add("the same: records/s while it fetched", consumed.records_per_second);
    figures.add("the same: until it was assigned, ms", consumed.rebalance_ms);

    create_topic(running.address, "bench-latency", 1)?;
    let mut program = kafka.java(CLIENT_JVM, "org.apache.kafka.tools.EndToEndLatency");
    program.args([&address, "bench-latency", &LATENCY_RECORDS.to_string(), "all", "100"]);
    let latency = parse_latency(&run(&mut program)?)?;
    figures.add("EndToEndLatency, 100 B, acks=all: average, ms", latency.average_ms);
    figures.add("the same: p50, ms", latency.p50_ms);
    figures.add("the same: p99, ms", latency.p99_ms);
    running.process.stop()
}

/// What `ConsumerPerformance` says of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Consumed {
    records: u64,
    rebalance_ms: f64,
    /// Without the time until it was assigned.
    records_per_second: f64,
}

/// The line of values: start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s.
fn parse_consumed(said: &str) -> Result<Consumed> {
    let row = said.lines().map(|line| line.split(", ").collect::<Vec<_>>()).find(|row| row.len() == 10);
    let row = row.with_context(|| format!("no line of values in what the consumer said:\n{said}"))?;
    let field = |place: usize| row.get(place).map(|text| text.trim()).context("the row has ten values");
    Ok(Consumed {
        records: field(4)?.parse()?,
        rebalance_ms: field(6)?.parse()?,
        records_per_second: field(9)?.parse()?,
    })
}

/// What `EndToEndLatency` says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Latency {
    average_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
}

fn parse_latency(said: &str) -> Result<Latency> {
    let after = |name: &str| -> Result<f64> {
        let rest = said.split(name).nth(1).with_context(|| format!("no {name:?} in:\n{said}"))?;
        let number = rest.trim_start().split([' ', ',', '\n']).next().unwrap_or_default();
        Ok(number.parse()?)
    };
    Ok(Latency { average_ms: after("Avg latency:")?, p50_ms: after("50th =")?, p99_ms: after("99th =")? })
}

#[cfg(test)]
mod tests {
    use super::{Consumed, Latency, parse_consumed, parse_latency};

    #[test]
    fn values_of_the_consumer_are_found() {
        let said = "WARN something\n2026-11-21 15:00:00:000, 2026-11-21 15:00:03:000, 286.1, 95.4, 300000, 100000.0, \
                    3412, 1588, 180.2, 188916.8\n";
        let expected = Consumed { records: 300_000, rebalance_ms: 3412.0, records_per_second: 188_916.8 };
        assert_eq!(parse_consumed(said).unwrap(), expected);
        assert!(parse_consumed("nothing").is_err());
    }

    #[test]
    fn latencies_are_found() {
        let said = "0\t45.1\nAvg latency: 0.5482 ms\n\nPercentiles: 50th = 0, 99th = 2, 99.9th = 5\n";
        assert_eq!(parse_latency(said).unwrap(), Latency { average_ms: 0.5482, p50_ms: 0.0, p99_ms: 2.0 });
        assert!(parse_latency("nothing").is_err());
    }
}
