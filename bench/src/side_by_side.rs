//! The same work on Ottla and on Apache Kafka, one after the other, in one run, as a table of figures and ratios.
//!
//! Each broker has one core and its clients another, and each starts empty.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::thread::sched_getaffinity;
use tempfile::TempDir;

use crate::kafka::Kafka;
use crate::machine::Machine;
use crate::process::{Background, on_core};
use crate::table::{NOT_MEASURED, Table, ratio, significant};
use crate::{ottla, workspace};

/// Has Apache Kafka flush every batch before it is acknowledged.
pub(crate) const KAFKA_FLUSHES: &str = "log.flush.interval.messages=1";

/// A broker with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contender {
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
pub(crate) struct Figure {
    what: String,
    value: f64,
}

/// The figures of one contender, in the order of the table.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// One more line.
    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64) {
        let what = what.into();
        eprintln!("  {what}: {}", significant(value));
        self.0.push(Figure { what, value });
    }
}

/// A broker that answers, and what its start took.
pub(crate) struct Running {
    pub(crate) process: Background,
    pub(crate) address: SocketAddr,
    pub(crate) format_time: Duration,
    pub(crate) start_time: Duration,
}

/// Everything that is needed to start any of the contenders.
pub(crate) struct SideBySide<'a> {
    directory: &'a Path,
    contenders: Vec<Contender>,
    /// Our binary, where it is wanted.
    pub(crate) ottla: Option<PathBuf>,
    /// Kafka's programs, which are the clients of every contender.
    pub(crate) kafka: Kafka,
    cores: Cores,
}

impl<'a> SideBySide<'a> {
    /// Fetches and builds what is not there yet. `only` leaves out the contenders that it does not name, if it names any.
    pub(crate) fn prepare(only: &[Contender], directory: &'a Path) -> Result<Self> {
        let wanted = if only.is_empty() { &Contender::ALL } else { only };
        Self::with(wanted, Cores::of_this_process()?, directory)
    }

    /// As [`SideBySide::prepare`], for sets of nodes, which share all cores with their clients. Without `only`, Kafka is
    /// measured as it comes, and not also flushed.
    pub(crate) fn prepare_sets(only: &[Contender], directory: &'a Path) -> Result<Self> {
        let wanted = if only.is_empty() { &[Contender::Ottla, Contender::Kafka] } else { only };
        Self::with(wanted, Cores::SHARED, directory)
    }

    fn with(wanted: &[Contender], cores: Cores, directory: &'a Path) -> Result<Self> {
        let is_wanted = |contender: &Contender| wanted.contains(contender);
        let contenders: Vec<Contender> = Contender::ALL.into_iter().filter(is_wanted).collect();
        let is_ottla_wanted = contenders.contains(&Contender::Ottla);
        let ottla = if is_ottla_wanted { Some(workspace::ottla_binary()?) } else { None };
        Ok(Self { directory, contenders, ottla, kafka: Kafka::install()?, cores })
    }

    /// Has `measure` measure each contender on the clients' core, and prints the table.
    pub(crate) fn run(&self, measure: impl Fn(Contender, &mut Figures) -> Result<()>) -> Result<()> {
        println!("{}", Machine::of(self.directory)?);
        println!("{}\n", self.cores);
        let mut measured = Vec::new();
        for contender in &self.contenders {
            eprintln!("measuring {}", contender.name());
            let mut figures = Figures::default();
            on_core(self.cores.clients, || measure(*contender, &mut figures))?;
            measured.push((*contender, figures.0));
        }
        println!("{}", table(&measured));
        Ok(())
    }

    /// A directory for one broker's data, removed when dropped.
    pub(crate) fn home(&self) -> Result<TempDir> {
        workspace::scratch(self.directory)
    }

    /// Starts one broker with its data in `home`, which is empty or holds what the same contender wrote. `settings` are
    /// `key=value` with Kafka's keys.
    pub(crate) fn start(&self, contender: Contender, home: &Path, settings: &[&str]) -> Result<Running> {
        let core = self.cores.broker;
        match (contender, &self.ottla) {
            (Contender::Ottla, Some(binary)) => {
                let ottla::Ready { process, address, start_time } =
                    ottla::start(binary, home, core, settings)?;
                Ok(Running { process, address, format_time: Duration::ZERO, start_time })
            }
            (Contender::Ottla, None) => anyhow::bail!("the binary was not built"),
            (Contender::KafkaFlushed, _) => {
                let flushed = [settings, &[KAFKA_FLUSHES]].concat();
                self.kafka.start(home, core, &flushed)
            }
            (Contender::Kafka, _) => self.kafka.start(home, core, settings),
        }
    }
}

fn table(measured: &[(Contender, Vec<Figure>)]) -> Table {
    let contenders: Vec<Contender> = measured.iter().map(|(contender, _)| *contender).collect();
    let others: Vec<Contender> =
        contenders.iter().copied().filter(|contender| *contender != Contender::Ottla).collect();
    let mut heading = vec!["figure".to_owned()];
    heading.extend(contenders.iter().map(|contender| contender.name().to_owned()));
    heading.extend(others.iter().map(|other| format!("Ottla : {}", other.name())));
    let mut table = Table::new(heading);
    let longest = measured.iter().map(|(_, figures)| figures.as_slice()).max_by_key(|figures| figures.len());
    for (number, figure) in longest.unwrap_or_default().iter().enumerate() {
        let value = |wanted: Contender| {
            let (_, figures) = measured.iter().find(|(contender, _)| *contender == wanted)?;
            Some(figures.get(number)?.value)
        };
        let mut row = vec![figure.what.clone()];
        row.extend(
            contenders.iter().map(|&contender| value(contender).map_or(NOT_MEASURED.to_owned(), significant)),
        );
        row.extend(others.iter().map(|&other| ratio(value(Contender::Ottla), value(other))));
        table.row(row);
    }
    table
}

/// Who runs where. `None`: all share what there is.
#[derive(Clone, Copy, Debug)]
struct Cores {
    broker: Option<usize>,
    clients: Option<usize>,
}

impl Cores {
    const SHARED: Self = Self { broker: None, clients: None };

    /// The first core that this process may use is the broker's, the second its clients'.
    fn of_this_process() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        match (cores.next(), cores.next()) {
            (Some(broker), Some(clients)) => Ok(Self { broker: Some(broker), clients: Some(clients) }),
            _ => Ok(Self::SHARED),
        }
    }
}

impl std::fmt::Display for Cores {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.broker, self.clients) {
            (Some(broker), Some(clients)) => {
                write!(formatter, "broker on core {broker}, clients on core {clients}")
            }
            _ => write!(formatter, "brokers and clients share all cores"),
        }
    }
}
