//! The load: Kafka's own producer, kcat, and the Java consumer, each a process that ends when its work is done.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::kafka::Kafka;
use crate::process::run;

/// The heap that Kafka's scripts give to a client program.
pub(crate) const CLIENT_JVM: [&str; 1] = ["-Xmx512m"];

/// Clients of one broker, or of a set.
pub(crate) struct Clients<'a> {
    /// Where the programs come from.
    pub(crate) kafka: &'a Kafka,
    /// Where the brokers listen, `host:port`, with commas between.
    pub(crate) bootstrap: String,
}

/// What a producer is to do, always with `acks=all`.
pub(crate) struct Production<'a> {
    pub(crate) topic: &'a str,
    pub(crate) records: u64,
    /// Size of a record's value.
    pub(crate) record_bytes: u64,
    /// The client's `batch.size`.
    pub(crate) batch_bytes: u32,
    pub(crate) pace: Pace,
}

/// How fast a producer sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As fast as it can.
    Full,
    /// So many; the first third is not counted, since the client's JVM is not warm then.
    RecordsPerSecond(u64),
}

/// What a producer saw; latencies are from `send` to the acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Produced {
    pub(crate) records: u64,
    pub(crate) records_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
}

impl Clients<'_> {
    /// Runs Kafka's `ProducerPerformance`.
    pub(crate) fn produce(&self, production: &Production<'_>) -> Result<Produced> {
        let mut command = self.kafka.java(CLIENT_JVM, "org.apache.kafka.tools.ProducerPerformance");
        command.args(["--bootstrap-server", &self.bootstrap, "--topic", production.topic]);
        command.args(["--num-records", &production.records.to_string()]);
        command.args(["--record-size", &production.record_bytes.to_string()]);
        match production.pace {
            Pace::Full => command.args(["--throughput", "-1"]),
            Pace::RecordsPerSecond(rate) => command
                .args(["--throughput", &rate.to_string()])
                .args(["--warmup-records", &(production.records / 3).to_string()]),
        };
        let batch_size = format!("batch.size={}", production.batch_bytes);
        command.args(["--command-property", "acks=all", &batch_size]);
        let said = run(&mut command)?;
        let totals: Vec<Produced> = said.lines().filter_map(parse_total).collect();
        let all = totals.first().with_context(|| format!("no total in what the producer said:\n{said}"))?;
        ensure!(
            all.records == production.records,
            "{} of {} records were acknowledged",
            all.records,
            production.records
        );
        Ok(*totals.last().unwrap_or(all))
    }

    /// Reads the topic once from its start to its end by kcat, which must see `value_bytes` bytes of values.
    pub(crate) fn consume_by_kcat(&self, topic: &str, value_bytes: u64) -> Result<()> {
        let mut kcat = Command::new("kcat");
        kcat.args(["-C", "-q", "-e", "-o", "beginning", "-D", "", "-b", &self.bootstrap, "-t", topic]);
        let mut reader =
            kcat.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("kcat cannot be started")?;
        let values = reader.stdout.take().context("standard output is piped")?;
        let counted = Command::new("wc").arg("-c").stdin(values).output().context("wc cannot be started")?;
        let status = reader.wait()?;
        ensure!(status.success(), "kcat ended with {status}");
        let bytes: u64 = String::from_utf8_lossy(&counted.stdout).trim().parse()?;
        ensure!(bytes == value_bytes, "kcat saw {bytes} bytes of values, {value_bytes} were produced");
        Ok(())
    }

    /// Reads the topic once from its start to its end by the Java client, which must see `value_bytes` bytes of values.
    pub(crate) fn consume_by_java(&self, topic: &str, value_bytes: u64) -> Result<()> {
        let mut command = self.kafka.java(CLIENT_JVM, "AssignedConsumer");
        let said = run(command.args([&self.bootstrap, topic]))?;
        let (_records, bytes) = said.trim().split_once(' ').context("the consumer prints two numbers")?;
        let bytes: u64 = bytes.parse()?;
        ensure!(
            bytes == value_bytes,
            "the consumer saw {bytes} bytes of values, {value_bytes} were produced"
        );
        Ok(())
    }
}

/// A total of `ProducerPerformance`: the only lines with percentiles. After a warm-up a second one follows for the rest.
fn parse_total(line: &str) -> Option<Produced> {
    let mut parts = line.trim_end_matches('.').split(", ");
    let records = parts.next()?.split(' ').next()?.parse().ok()?;
    let rate = parts.next()?.split(' ').next()?.parse().ok()?;
    let mut latency = |name: &str| -> Option<f64> {
        parts.find_map(|part| part.strip_suffix(name))?.trim().trim_end_matches(" ms").parse().ok()
    };
    Some(Produced {
        records,
        records_per_second: rate,
        p50_ms: latency("50th")?,
        p99_ms: latency("99th")?,
        p999_ms: latency("99.9th")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Produced, parse_total};

    #[test]
    fn total_is_the_line_with_percentiles() {
        let progress = "99987 records sent, 19997.4 records/sec (19.53 MB/sec), 1.3 ms avg latency, 49.0 ms max latency.";
        assert_eq!(parse_total(progress), None);
        let total = "300000 records sent, 19998.7 records/sec (19.53 MB/sec), 1.93 ms avg latency, 248.00 ms max \
                     latency, 1 ms 50th, 3 ms 95th, 17 ms 99th, 95 ms 99.9th.";
        let expected = Produced {
            records: 300_000,
            records_per_second: 19_998.7,
            p50_ms: 1.0,
            p99_ms: 17.0,
            p999_ms: 95.0,
        };
        assert_eq!(parse_total(total), Some(expected));
        let after_warm_up = total.replace("300000 records", "300000 steady state records");
        assert_eq!(parse_total(&after_warm_up), Some(expected));
    }
}
