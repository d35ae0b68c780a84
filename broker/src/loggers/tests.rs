use super::*;
use std::sync::Mutex;
use tracing::Event;
use tracing_subscriber::layer::SubscriberExt;

/// Loggers of their own, which live as long as the process.
fn loggers(filter: &str) -> &'static Loggers {
    let levels = Levels::read(filter).unwrap();
    let [at_start, now] = [levels.clone(), levels].map(ArcSwap::from_pointee);
    Box::leak(Box::new(Loggers { at_start, now }))
}

fn change(logger: &str, operation: ConfigOperation, level: Option<&str>) -> KeyChange {
    KeyChange { key: logger.to_owned(), operation, value: level.map(str::to_owned) }
}

fn set(logger: &str, level: &str) -> KeyChange {
    change(logger, ConfigOperation::Set, Some(level))
}

fn delete(logger: &str) -> KeyChange {
    change(logger, ConfigOperation::Delete, None)
}

fn level(loggers: &Loggers, logger: &str) -> &'static str {
    loggers.levels().into_iter().find(|(name, _)| *name == logger).unwrap().1
}

#[test]
fn a_logger_without_a_level_has_that_of_the_module_around_it() {
    let loggers = loggers("info, openraft=off,ottla::quorum::pulse=trace,");
    assert_eq!(loggers.levels().len(), LOGGERS.len() + 1);
    assert_eq!(["root", "ottla.api", "openraft"].map(|name| level(loggers, name)), ["INFO", "INFO", "FATAL"]);
    loggers.alter(&[set("root", "WARN"), set("ottla", "DEBUG"), set("storage.log", "ERROR")], false).unwrap();
    let levels = ["root", "ottla", "ottla.api", "storage.log", "storage.log_dir", "openraft"];
    assert_eq!(levels.map(|name| level(loggers, name)), ["WARN", "DEBUG", "DEBUG", "ERROR", "WARN", "FATAL"]);
    let now = loggers.now.load();
    assert_eq!(now.of("ottla::quorum::pulse"), LevelFilter::TRACE, "what the node was started with");
    assert_eq!(now.of("storage::log::read"), LevelFilter::ERROR);
}

#[test]
fn a_level_that_is_deleted_is_what_the_node_was_started_with() {
    let loggers = loggers("warn,ottla::api=debug");
    loggers.alter(&[set("ottla.api", "TRACE"), set("ottla", "FATAL")], false).unwrap();
    assert_eq!(["ottla.api", "ottla.node"].map(|name| level(loggers, name)), ["TRACE", "FATAL"]);
    loggers.alter(&[delete("ottla.api"), delete("ottla"), delete("storage")], false).unwrap();
    assert_eq!(["ottla.api", "ottla.node"].map(|name| level(loggers, name)), ["DEBUG", "WARN"]);
}

#[test]
fn a_filter_that_names_only_modules_logs_errors_of_the_rest() {
    assert_eq!(level(loggers("storage=debug"), "root"), "ERROR");
    assert!(Levels::read("ottla[span]=loud").is_err());
}

#[test]
fn nothing_changes_where_one_of_the_changes_is_refused_and_kafka_says_why() {
    let loggers = loggers("info");
    let told = |changes: &[KeyChange]| loggers.alter(changes, false).unwrap_err().to_string();
    let good = set("ottla", "DEBUG");
    assert_eq!(told(&[good.clone(), set("no.such", "INFO")]), "Logger no.such does not exist!");
    assert_eq!(
        told(&[good.clone(), set("root", "debug")]),
        "Cannot set the log level of root to debug as it is not a supported log level. Valid log levels are DEBUG, ERROR, \
         FATAL, INFO, TRACE, WARN"
    );
    assert_eq!(
        told(&[good.clone(), delete("root")]),
        "Removing the log level of the root logger is not allowed"
    );
    assert_eq!(told(&[delete("no.such")]), "Logger no.such does not exist!");
    assert_eq!(
        told(&[change("ottla", ConfigOperation::Append, Some("INFO"))]),
        "APPEND operation is not allowed for the BROKER_LOGGER resource"
    );
    assert_eq!(
        told(&[
            change("ottla", ConfigOperation::Set, None),
            change("storage", ConfigOperation::Subtract, None)
        ]),
        "Null value not supported for : ottla, storage"
    );
    assert_eq!(told(&[good.clone(), good.clone()]), "Error due to duplicate config keys");
    assert_eq!(loggers.alter(&[good], true), Ok(()));
    assert!(loggers.levels().iter().all(|(_, level)| *level == "INFO"));
}

/// Keeps the modules of the lines that come through.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Seen {
    fn on_event(&self, line: &Event<'_>, _: Context<'_, S>) {
        self.0.lock().unwrap().push(line.metadata().target().to_owned());
    }
}

#[test]
fn lines_come_through_by_the_levels_as_they_are() {
    let (loggers, seen) = (loggers("info"), Seen::default());
    let log = || {
        tracing::debug!(target: "ottla::api::fetch", "a line");
        tracing::info!(target: "storage::log", "a line");
        std::mem::take(&mut *seen.0.lock().unwrap())
    };
    let log_after = |changes: &[KeyChange]| {
        loggers.alter(changes, false).unwrap();
        // What is said of the change itself.
        seen.0.lock().unwrap().clear();
        log()
    };
    let subscriber = tracing_subscriber::registry().with(seen.clone()).with(loggers.filter());
    tracing::subscriber::with_default(subscriber, || {
        assert_eq!(log(), ["storage::log"]);
        assert_eq!(log_after(&[set("ottla.api", "DEBUG")]), ["ottla::api::fetch", "storage::log"]);
        assert_eq!(log_after(&[set("root", "FATAL")]), ["ottla::api::fetch"]);
        assert_eq!(log_after(&[delete("ottla.api")]), [""; 0]);
        assert_eq!(log_after(&[set("root", "TRACE")]), ["ottla::api::fetch", "storage::log"]);
    });
}
