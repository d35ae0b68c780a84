//! What the log holds: the level of each logger, as clients see and change it while the node runs.
//!
//! A logger is a module that writes lines, and `root` is for all the others; one without a level of its own has that of the
//! module around it. Names have dots, since Kafka's tools take no colons: `ottla.quorum` is what `OTTLA_LOG` calls
//! `ottla::quorum`. The log belongs to the process, and so do the levels: they are
//! not kept over a restart. FATAL is no line at all, since this broker has no level above ERROR. What is deliberately absent:
//! loggers that clients make up, which would grow without bound.
//! Source: KIP-412, `RuntimeLoggerManager.java`, `LoggingController.java`.

#[cfg(test)]
mod tests;

use arc_swap::ArcSwap;
use replication::controller::configs::{ConfigOperation, KeyChange};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::{Context, Layer};

/// The loggers but [`ROOT`]. A test compares them with the modules that write lines.
pub const LOGGERS: &[&str] = &[
    "openraft",
    "ottla",
    "ottla.api",
    "ottla.cleaner",
    "ottla.cli",
    "ottla.connection",
    "ottla.coordinators",
    "ottla.housekeeping",
    "ottla.http",
    "ottla.isr",
    "ottla.loggers",
    "ottla.metadata_follower",
    "ottla.node",
    "ottla.open_files",
    "ottla.partition",
    "ottla.peer",
    "ottla.quorum",
    "ottla.replica_fetcher",
    "ottla.replica_server",
    "ottla.server",
    "ottla.settings",
    "ottla.telemetry",
    "storage",
    "storage.log",
    "storage.log_dir",
    "storage.recovery",
];

/// The logger of everything that has none of its own, by Kafka's name.
pub const ROOT: &str = "root";

/// Kafka's names of the levels, and ours.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("DEBUG", LevelFilter::DEBUG),
    ("ERROR", LevelFilter::ERROR),
    ("FATAL", LevelFilter::OFF),
    ("INFO", LevelFilter::INFO),
    ("TRACE", LevelFilter::TRACE),
    ("WARN", LevelFilter::WARN),
];

/// What is logged where nobody says otherwise: openraft's own lines are about what our own say in the words of this broker.
const DEFAULT: &str = "info,openraft=off";

/// What a filter that names only some modules logs of the others.
const REST: LevelFilter = LevelFilter::ERROR;

/// The levels at one moment.
#[derive(Clone, Debug)]
struct Levels {
    root: LevelFilter,
    /// Those of their own, by module.
    of_modules: BTreeMap<String, LevelFilter>,
}

/// The levels as they change.
#[derive(Debug)]
pub struct Loggers {
    at_start: ArcSwap<Levels>,
    now: ArcSwap<Levels>,
}

/// Lets a line through to the log by the levels as they are.
#[derive(Clone, Copy, Debug)]
pub struct LogFilter(&'static Loggers);

/// Why the level of no logger changes; the sentences are Kafka's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoggerError {
    /// A logger twice.
    #[error("Error due to duplicate config keys")]
    Duplicate,
    /// Levels that are none.
    #[error("Null value not supported for : {loggers}")]
    NoLevel {
        /// Their loggers, with commas between them.
        loggers: String,
    },
    /// No such logger.
    #[error("Logger {logger} does not exist!")]
    UnknownLogger {
        /// As given.
        logger: String,
    },
    /// No such level.
    #[error(
        "Cannot set the log level of {logger} to {level} as it is not a supported log level. Valid log levels are {}",
        LEVELS.map(|(name, _)| name).join(", ")
    )]
    UnknownLevel {
        /// Its logger.
        logger: String,
        /// As given.
        level: String,
    },
    /// Everything would be without a level.
    #[error("Removing the log level of the root logger is not allowed")]
    RootWithoutLevel,
    /// A level is no list.
    #[error("{operation} operation is not allowed for the BROKER_LOGGER resource")]
    Operation {
        /// What was asked for.
        operation: ConfigOperation,
    },
}

/// The loggers of this process.
pub fn of_process() -> &'static Loggers {
    static OF_PROCESS: LazyLock<Loggers> = LazyLock::new(|| {
        let levels = Levels::read(DEFAULT).expect("the default is one that can be read");
        Loggers { at_start: ArcSwap::from_pointee(levels.clone()), now: ArcSwap::from_pointee(levels) }
    });
    &OF_PROCESS
}

impl Loggers {
    /// Logs by `filter`, in the syntax of `tracing`'s filters: `debug,ottla::quorum=trace`.
    ///
    /// # Errors
    /// When it cannot be read; the levels stay.
    pub fn start_with(&self, filter: &str) -> Result<(), ParseError> {
        let levels = Arc::new(Levels::read(filter)?);
        self.at_start.store(Arc::clone(&levels));
        self.now.store(levels);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// What the log is filtered by.
    pub fn filter(&'static self) -> LogFilter {
        LogFilter(self)
    }

    /// Every logger with Kafka's name of its level.
    #[must_use]
    pub fn levels(&self) -> Vec<(&'static str, &'static str)> {
        let levels = self.now.load();
        LOGGERS.iter().chain([&ROOT]).map(|&logger| (logger, name_of(levels.of(&module(logger))))).collect()
    }

    /// Changes levels, all of them or none. One that is deleted is again what the node was started with.
    ///
    /// # Errors
    /// When one of the changes cannot be made.
    pub fn alter(&self, changes: &[KeyChange], validate_only: bool) -> Result<(), LoggerError> {
        let changes = read_changes(changes)?;
        if validate_only {
            return Ok(());
        }
        let at_start = self.at_start.load();
        self.now.rcu(|now| {
            let mut levels = Levels::clone(now);
            for (logger, level) in &changes {
                let module = module(logger);
                levels.set(&module, level.or_else(|| at_start.of_modules.get(&module).copied()));
            }
            levels
        });
        tracing::callsite::rebuild_interest_cache();
        let now = self.now.load();
        for (logger, _) in changes {
            tracing::warn!(
                "a client set the log level of {logger} to {}, until the node stops",
                name_of(now.of(&module(logger)))
            );
        }
        Ok(())
    }
}

/// What a client asks for, checked: loggers with the level that they are to have, none where theirs is to be deleted.
fn read_changes(changes: &[KeyChange]) -> Result<Vec<(&'static str, Option<LevelFilter>)>, LoggerError> {
    let mut seen = BTreeSet::new();
    if !changes.iter().all(|change| seen.insert(&change.key)) {
        return Err(LoggerError::Duplicate);
    }
    let without_level =
        |change: &&KeyChange| change.operation != ConfigOperation::Delete && change.value.is_none();
    let without: Vec<&str> = changes.iter().filter(without_level).map(|change| &*change.key).collect();
    if !without.is_empty() {
        return Err(LoggerError::NoLevel { loggers: without.join(", ") });
    }
    changes.iter().map(read_change).collect()
}

fn read_change(change: &KeyChange) -> Result<(&'static str, Option<LevelFilter>), LoggerError> {
    let known = || {
        let logger = LOGGERS.iter().chain([&ROOT]).find(|logger| **logger == change.key).copied();
        logger.ok_or_else(|| LoggerError::UnknownLogger { logger: change.key.clone() })
    };
    match change.operation {
        ConfigOperation::Set => {
            let (logger, level) = (known()?, change.value.as_deref().unwrap_or_default());
            let found = LEVELS.iter().find(|(name, _)| *name == level).map(|(_, level)| *level);
            let unknown =
                || LoggerError::UnknownLevel { logger: change.key.clone(), level: level.to_owned() };
            Ok((logger, Some(found.ok_or_else(unknown)?)))
        }
        ConfigOperation::Delete => match known()? {
            ROOT => Err(LoggerError::RootWithoutLevel),
            logger => Ok((logger, None)),
        },
        operation @ (ConfigOperation::Append | ConfigOperation::Subtract) => {
            Err(LoggerError::Operation { operation })
        }
    }
}

/// What a logger's lines have as their target.
fn module(logger: &str) -> String {
    logger.replace('.', "::")
}

fn name_of(level: LevelFilter) -> &'static str {
    LEVELS.iter().find(|(_, named)| *named == level).map_or("FATAL", |(name, _)| name)
}

impl Levels {
    fn read(filter: &str) -> Result<Self, ParseError> {
        let directives: Vec<&str> =
            filter.split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
        let targets: Targets = directives.join(",").parse()?;
        let of_modules = targets.iter().map(|(module, level)| (module.to_owned(), level)).collect();
        Ok(Self { root: targets.default_level().unwrap_or(REST), of_modules })
    }

    /// The level of a module: its own, or that of the nearest around it.
    fn of(&self, module: &str) -> LevelFilter {
        let around = std::iter::successors(Some(module), |module| Some(module.rsplit_once("::")?.0));
        around.filter_map(|module| self.of_modules.get(module).copied()).next().unwrap_or(self.root)
    }

    fn set(&mut self, module: &str, level: Option<LevelFilter>) {
        match level {
            Some(level) if module == ROOT => self.root = level,
            Some(level) => drop(self.of_modules.insert(module.to_owned(), level)),
            None => drop(self.of_modules.remove(module)),
        }
    }

    fn most_verbose(&self) -> LevelFilter {
        self.of_modules.values().copied().fold(self.root, LevelFilter::max)
    }
}

impl LogFilter {
    fn lets_through(self, line: &Metadata<'_>) -> bool {
        *line.level() <= self.0.now.load().of(line.target())
    }
}

impl<S: Subscriber> Layer<S> for LogFilter {
    // Asked once for each line of the code, and again after each change.
    fn register_callsite(&self, line: &'static Metadata<'static>) -> Interest {
        if self.lets_through(line) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, line: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.lets_through(line)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.now.load().most_verbose())
    }
}
