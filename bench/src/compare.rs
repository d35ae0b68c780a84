//! `bench compare`: the same load on Ottla and on Apache Kafka, one after the other, in one run.
//!
//! Each broker has one core and its clients another, each starts empty, and of each load the second run counts, when
//! the JVM is warm. What a broker costs is the CPU time of its process. 1 GB is 10^9 bytes of record values.

mod clients;
mod kafka;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::thread::sched_getaffinity;

use crate::machine::Machine;
use crate::process::{Background, on_core};
use crate::table::{NOT_MEASURED, Table, cpu_per_gb, ratio, significant};
use crate::wire::create_topic;
use crate::{ottla, workspace};

use clients::{Clients, Pace, Production};
use kafka::Kafka;

const PARTITIONS: i32 = 6;
/// The sizes of a record's value, in bytes.
const RECORD_SIZES: [u64; 2] = [100, 1024];
/// Of the paced load: the value's size in bytes, the records each second, and the client's `batch.size`.
const PACED: (u64, u64, u32) = (1024, 20_000, 16 * 1024);
/// The client's `batch.size` under full load.
const BATCH_BYTES: u32 = 64 * 1024;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Bytes of values in each run of a load, in units of 10^6.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
    /// How long each run of the paced load lasts.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    paced_seconds: u64,
    /// Leaves out the others; may be repeated.
    #[arg(long)]
    only: Vec<Contender>,
}

/// A broker with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Contender {
    /// Ottla, which flushes before it acknowledges.
    Ottla,
    /// Apache Kafka with `log.flush.interval.messages=1`.
    KafkaFlushed,
    /// Apache Kafka as it comes: acknowledged from the page cache.
    Kafka,
}

impl Contender {
    const ALL: [Self; 3] = [Self::Ottla, Self::KafkaFlushed, Self::Kafka];

    fn name(self) -> &'static str {
        match self {
            Self::Ottla => "Ottla (flushed)",
            Self::KafkaFlushed => "Kafka, flushed",
            Self::Kafka => "Kafka, not flushed",
        }
    }
}

/// One line of the table for one contender.
#[derive(Debug)]
struct Figure {
    what: String,
    value: f64,
}

/// A broker that answers, and what its start took.
struct Running {
    process: Background,
    address: SocketAddr,
    format_time: Duration,
    start_time: Duration,
}

/// Everything that the measurements share.
struct Setting<'a> {
    options: &'a Options,
    directory: &'a Path,
    ottla: Option<PathBuf>,
    kafka: Kafka,
    cores: Cores,
}

/// Who runs where. `None`: the machine has a single core, which all share.
#[derive(Clone, Copy, Debug)]
struct Cores {
    broker: Option<usize>,
    clients: Option<usize>,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let is_wanted = |contender: &Contender| options.only.is_empty() || options.only.contains(contender);
    let contenders: Vec<Contender> = Contender::ALL.into_iter().filter(is_wanted).collect();
    let ottla = if contenders.contains(&Contender::Ottla) { Some(workspace::ottla_binary()?) } else { None };
    let setting =
        Setting { options, directory, ottla, kafka: Kafka::install()?, cores: Cores::of_this_process()? };
    println!("{}", Machine::of(directory)?);
    println!("{}\n", setting.cores);
    let mut measured = Vec::new();
    for contender in contenders {
        eprintln!("measuring {}", contender.name());
        measured.push((contender, on_core(setting.cores.clients, || measure(contender, &setting))?));
    }
    println!("{}", side_by_side(&measured));
    Ok(())
}

fn measure(contender: Contender, setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let home = workspace::scratch(setting.directory)?;
    let running = start(contender, setting, home.path())?;
    let mut figures = Vec::new();
    let mut add = |what: String, value: f64| figures.push(Figure { what, value });
    let whole_start = running.format_time + running.start_time;
    add(
        "start of an empty node to the first Metadata, format included: ms".to_owned(),
        milliseconds(whole_start),
    );
    add("the same without the format: ms".to_owned(), milliseconds(running.start_time));
    let idle = running.process.memory()?;
    add("anonymous memory after the start: MiB".to_owned(), mebibytes(idle.anonymous));

    let clients = Clients { kafka: &setting.kafka, address: running.address };
    for record_bytes in RECORD_SIZES {
        let topic = format!("bench-{record_bytes}");
        create_topic(running.address, &topic, PARTITIONS)?;
        let records = setting.options.megabytes * 1_000_000 / record_bytes;
        let production =
            Production { topic: &topic, records, record_bytes, batch_bytes: BATCH_BYTES, pace: Pace::Full };
        let produced_bytes = records * record_bytes;
        let (produced, cpu) = second_of_two(&running.process, || clients.produce(&production))?;
        add(format!("produce {record_bytes} B: CPU-s/GB"), cpu_per_gb(cpu, produced_bytes));
        add(format!("produce {record_bytes} B: records/s"), produced.records_per_second);
        let stored_bytes = 2 * produced_bytes;
        let ((), cpu) = second_of_two(&running.process, || clients.consume_by_kcat(&topic, stored_bytes))?;
        add(format!("fetch {record_bytes} B by kcat: CPU-s/GB"), cpu_per_gb(cpu, stored_bytes));
        let ((), cpu) = second_of_two(&running.process, || clients.consume_by_java(&topic, stored_bytes))?;
        add(format!("fetch {record_bytes} B by the Java client: CPU-s/GB"), cpu_per_gb(cpu, stored_bytes));
    }

    let (record_bytes, records_per_second, batch_bytes) = PACED;
    create_topic(running.address, "bench-paced", PARTITIONS)?;
    let production = Production {
        topic: "bench-paced",
        records: records_per_second * setting.options.paced_seconds,
        record_bytes,
        batch_bytes,
        pace: Pace::RecordsPerSecond(records_per_second),
    };
    let (produced, cpu) = second_of_two(&running.process, || clients.produce(&production))?;
    for (name, latency_ms) in
        [("p50", produced.p50_ms), ("p99", produced.p99_ms), ("p99.9", produced.p999_ms)]
    {
        add(format!("produce {record_bytes} B at {records_per_second}/s: latency {name}, ms"), latency_ms);
    }
    let bytes = production.records * record_bytes;
    add(format!("produce {record_bytes} B at {records_per_second}/s: CPU-s/GB"), cpu_per_gb(cpu, bytes));

    let loaded = running.process.memory()?;
    add("anonymous memory after this load: MiB".to_owned(), mebibytes(loaded.anonymous));
    add(
        "resident memory after this load, mapped log pages included: MiB".to_owned(),
        mebibytes(loaded.resident),
    );
    running.process.stop()?;
    Ok(figures)
}

fn start(contender: Contender, setting: &Setting<'_>, home: &Path) -> Result<Running> {
    let core = setting.cores.broker;
    match (contender, &setting.ottla) {
        (Contender::Ottla, Some(binary)) => {
            let ottla::Ready { process, address, start_time } = ottla::start(binary, home, core)?;
            Ok(Running { process, address, format_time: Duration::ZERO, start_time })
        }
        (Contender::Ottla, None) => anyhow::bail!("the binary was not built"),
        (Contender::KafkaFlushed, _) => setting.kafka.start(home, core, "log.flush.interval.messages=1\n"),
        (Contender::Kafka, _) => setting.kafka.start(home, core, ""),
    }
}

/// Does `work` twice; answers what the second time gave, and the CPU time that it took `broker`.
fn second_of_two<T>(broker: &Background, mut work: impl FnMut() -> Result<T>) -> Result<(T, Duration)> {
    work()?;
    let before = broker.cpu()?;
    let outcome = work()?;
    Ok((outcome, broker.cpu()?.saturating_sub(before)))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn side_by_side(measured: &[(Contender, Vec<Figure>)]) -> Table {
    let mut heading = vec!["figure".to_owned()];
    heading.extend(Contender::ALL.map(|contender| contender.name().to_owned()));
    heading.extend(["Ottla : Kafka, flushed".to_owned(), "Ottla : Kafka, not flushed".to_owned()]);
    let mut table = Table::new(heading);
    let longest = measured.iter().map(|(_, figures)| figures.as_slice()).max_by_key(|figures| figures.len());
    for (number, figure) in longest.unwrap_or_default().iter().enumerate() {
        let value = |wanted: Contender| {
            let (_, figures) = measured.iter().find(|(contender, _)| *contender == wanted)?;
            Some(figures.get(number)?.value)
        };
        let mut row = vec![figure.what.clone()];
        row.extend(
            Contender::ALL.map(|contender| value(contender).map_or(NOT_MEASURED.to_owned(), significant)),
        );
        for other in [Contender::KafkaFlushed, Contender::Kafka] {
            row.push(ratio(value(Contender::Ottla), value(other)));
        }
        table.row(row);
    }
    table
}

impl Cores {
    /// The first core that this process may use is the broker's, the second its clients'.
    fn of_this_process() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        match (cores.next(), cores.next()) {
            (Some(broker), Some(clients)) => Ok(Self { broker: Some(broker), clients: Some(clients) }),
            _ => Ok(Self { broker: None, clients: None }),
        }
    }
}

impl std::fmt::Display for Cores {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.broker, self.clients) {
            (Some(broker), Some(clients)) => {
                write!(
                    formatter,
                    "broker on core {broker}, clients on core {clients}; second run of each load"
                )
            }
            _ => write!(formatter, "broker and clients share the only core; second run of each load"),
        }
    }
}
