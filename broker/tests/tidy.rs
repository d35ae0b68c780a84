//! The rules of the house that a compiler does not check.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file over this length swallows the system; see the README's map for where things belong.
const FILE_LINES_MAX: usize = 500;

/// What each crate may import of the others. Imports go downward only.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("storage", &["config"]),
    ("replication", &["config", "storage"]),
    ("broker/coordinator", &["config", "storage"]),
    ("broker", &["config", "storage", "replication", "coordinator"]),
    ("bench", &["config", "storage", "ottla"]),
    ("client-tests", &[]),
];

/// The only files with `unsafe` code: the mapping, and what makes it.
const UNSAFE_FILES: &[&str] = &["storage/src/mapped.rs"];

/// Everything that may stand at the top level, dot files aside.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "bench",
    "broker",
    "client-tests",
    "config",
    "replication",
    "storage",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// The files that belong to the project, relative to its root.
fn files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(output.status.success(), "git ls-files failed");
    let listing = String::from_utf8(output.stdout).expect("paths are text");
    listing.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rust_files() -> Vec<String> {
    files().into_iter().filter(|path| path.ends_with(".rs")).collect()
}

#[test]
fn imports_between_crates_go_downward() {
    let crates: BTreeSet<&str> =
        MAY_IMPORT.iter().map(|(name, _)| *name).chain(["ottla", "coordinator"]).collect();
    for (name, allowed) in MAY_IMPORT {
        let manifest = read(&format!("{name}/Cargo.toml"));
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        for line in dependencies.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if crates.contains(dependency) {
                assert!(allowed.contains(&dependency), "{name} may not import {dependency}");
            }
        }
    }
}

/// What follows `tracing::` where a line of the log is written.
const LINES: [&str; 5] = ["error!", "warn!", "info!", "debug!", "trace!"];

#[test]
fn every_module_that_logs_is_a_logger() {
    let mut logging = BTreeSet::new();
    for (root, name) in [("broker/src/", "ottla"), ("storage/src/", "storage")] {
        for path in rust_files().into_iter().filter(|path| path.starts_with(root) && !path.contains("test")) {
            let source = read(&path);
            if LINES.iter().any(|line| source.contains(&format!("tracing::{line}"))) {
                let module = path[root.len()..].split(['/', '.']).next().unwrap_or_default();
                logging.insert(format!("{name}.{module}"));
            }
        }
    }
    let loggers = ottla::loggers::LOGGERS.iter().filter(|logger| logger.contains('.'));
    assert_eq!(logging, loggers.map(|logger| (*logger).to_owned()).collect(), "see broker/src/loggers.rs");
}

/// What clients are told of a feature's downgrade, in Kafka's words: the one place where the keyword is a word.
const SENTENCE_OF_KAFKA: &str = "setting the upgrade type to either safe or unsafe downgrade.";

#[test]
fn unsafe_code_stays_in_its_module() {
    for path in rust_files()
        .iter()
        .filter(|path| !UNSAFE_FILES.contains(&path.as_str()) && !path.ends_with("tidy.rs"))
    {
        for (number, line) in read(path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default().replace(SENTENCE_OF_KAFKA, "");
            let mut words = code.split(|character: char| !(character.is_alphanumeric() || character == '_'));
            assert!(!words.any(|word| word == "unsafe"), "{path}:{}: unsafe code", number + 1);
        }
    }
}

#[test]
fn no_file_swallows_the_system() {
    for path in rust_files() {
        let lines = read(&path).lines().count();
        assert!(lines <= FILE_LINES_MAX, "{path} has {lines} lines; {FILE_LINES_MAX} are the most");
    }
}

#[test]
fn nothing_is_left_for_later_and_no_queue_is_unbounded() {
    let banned = ["TODO", "FIXME", "XXX", "unimplemented!(", "unbounded_channel", "#[ignore"];
    for path in rust_files().iter().filter(|path| !path.ends_with("tidy.rs")) {
        let text = read(path);
        for word in banned {
            assert!(!text.contains(word), "{path} contains {word}");
        }
    }
}

#[test]
fn every_module_says_what_it_owns() {
    for path in rust_files().into_iter().filter(|path| !path.ends_with("tests.rs")) {
        let text = read(&path);
        assert!(text.starts_with("//!"), "{path} does not begin with what it owns");
    }
}

#[test]
fn the_top_level_is_fixed() {
    for path in files() {
        let first = path.split('/').next().unwrap_or_default();
        assert!(
            first.starts_with('.') || TOP_LEVEL.contains(&first),
            "{first} does not belong at the top level"
        );
    }
}

#[test]
fn the_readme_lists_every_api_and_every_metric() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 200, "the README is longer than 200 lines");
    for api in ottla::api::APIS {
        let row = format!("| {} | {} | {}–{} |", api.name, api.key, api.advertised_min, api.version_max);
        assert!(readme.contains(&row), "the README's table lacks: {row}");
    }
    for metric in ottla::metrics::METRICS {
        assert!(readme.contains(metric.name), "the README does not name the metric {}", metric.name);
    }
}
