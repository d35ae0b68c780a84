//! From a file, the environment and the command line to a [`BrokerConfig`].
//!
//! The command line wins over the environment, that over the file, and the file over the defaults. The file is TOML
//! whose dotted keys are Kafka's names, or a Java properties file such as Apache Kafka's `server.properties`. In the
//! environment a key is `OTTLA_` and its name in upper case with `_` for `.`; our own keys keep their one `OTTLA_`:
//! `OTTLA_NUM_PARTITIONS` is `num.partitions`, `OTTLA_DURABILITY` is `ottla.durability`. On the command line it is
//! `--set key=value`.
//!
//! All mistakes are collected before any is reported. The caller reads the file and the environment.

mod environment;
pub mod nearest;
mod problem;
mod properties;
mod toml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use environment::{OTHER_VARIABLES, variable_of};
pub use problem::{ConfigErrors, Problem};

use crate::broker::{self, BrokerConfig, BrokerLayers};
use crate::error::ConfigError;
use crate::keys::{self, Support, family};
use crate::without_effect::WithoutEffect;

/// Where settings are looked for. [`Default`] is nowhere.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The path of a file, to say where a mistake is and what form the file has, and its text.
    pub file: Option<(PathBuf, String)>,
    /// Variables of the environment, with their values. Only names that begin with `OTTLA_` matter.
    pub environment: Vec<(String, String)>,
    /// What followed each `--set`.
    pub set: Vec<String>,
}

/// What the sources said.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The typed settings.
    pub broker: BrokerConfig,
    /// The keys of the table that somebody set, with the value that won.
    pub explicit: BTreeMap<String, Explicit>,
    /// What a user should be told at start, a sentence each.
    pub warnings: Vec<String>,
}

/// A setting that somebody made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explicit {
    /// The value, as text.
    pub value: String,
    /// Where it stands.
    pub source: Source,
}

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// In the environment.
    Environment {
        /// The variable.
        variable: String,
    },
    /// After `--set`.
    CommandLine,
}

/// One setting of one source, as found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    explicit: Explicit,
}

/// What one source holds.
#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Loaded {
    /// The settings that somebody made, as the lowest layer under what clients change later.
    #[must_use]
    pub fn layers(&self) -> BrokerLayers {
        BrokerLayers {
            explicit: self.explicit.iter().map(|(name, set)| (name.clone(), set.value.clone())).collect(),
            ..BrokerLayers::default()
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(formatter, "{}, line {line}", path.display()),
            Self::Environment { variable } => write!(formatter, "environment variable {variable}"),
            Self::CommandLine => formatter.write_str("--set"),
        }
    }
}

/// Merges the sources and resolves what they say.
///
/// # Errors
/// Every key that is not known, every value that is not accepted, and everything that cannot be read, at once.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut found = Found::default();
    if let Some((path, text)) = &sources.file {
        read_file(path, text, &mut found);
    }
    environment::read(&sources.environment, &mut found);
    read_command_line(&sources.set, &mut found);

    let Found { entries, mut problems, mut warnings } = found;
    let mut merged = merge(entries, &mut problems);
    let mut inert = WithoutEffect::default();
    merged.retain(|name, set| match accept(name, set, &mut inert) {
        Ok(is_in_table) => is_in_table,
        Err(error) => {
            problems.push(Problem::Setting { source: Some(set.source.clone()), error });
            false
        }
    });
    alias_node_id(&mut merged);
    warnings.extend(inert.sentence());

    let mut loaded = Loaded { broker: BrokerConfig::default(), explicit: merged, warnings };
    let (resolved, errors) = broker::resolve(&loaded.layers());
    loaded.broker = resolved.broker;
    loaded.warnings.extend(resolved.warnings);
    problems.extend(errors.into_iter().map(|error| Problem::Setting {
        source: loaded.explicit.get(error.name()).map(|set| set.source.clone()),
        error,
    }));
    if problems.is_empty() { Ok(loaded) } else { Err(ConfigErrors(problems)) }
}

fn read_file(path: &Path, text: &str, found: &mut Found) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_toml(path, text) {
        toml::read(path, text, found);
    } else {
        properties::read(path, text, found);
    }
}

/// The extension decides; without one of the two, what the text looks like.
fn is_toml(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => true,
        Some("properties") => false,
        Some(_) | None => toml::is_valid(text) || toml::looks_like(text),
    }
}

fn read_command_line(set: &[String], found: &mut Found) {
    for argument in set {
        match argument.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => found.entries.push(Entry {
                name: name.trim().to_owned(),
                explicit: Explicit { value: value.to_owned(), source: Source::CommandLine },
            }),
            Some(_) | None => found.problems.push(Problem::NotASetting { argument: argument.clone() }),
        }
    }
}

/// Keeps the last setting of each key, and reports the keys that nobody knows.
fn merge(entries: Vec<Entry>, problems: &mut Vec<Problem>) -> BTreeMap<String, Explicit> {
    let mut merged = BTreeMap::new();
    for Entry { name, explicit } in entries {
        if keys::broker_key(&name).is_some() || family(&name).is_some() {
            merged.insert(name, explicit);
        } else {
            problems.push(Problem::UnknownKey { name, source: explicit.source });
        }
    }
    merged
}

/// Checks one setting by itself. Says whether its key has a row in the table; those of a family have none.
fn accept(name: &str, set: &Explicit, inert: &mut WithoutEffect) -> Result<bool, ConfigError> {
    let support = match keys::broker_key(name) {
        Some(key) => {
            key.read(&set.value)?;
            key.support
        }
        None => family(name).map_or(Support::Honoured, |family| family.support),
    };
    let is_in_table = keys::broker_key(name).is_some();
    match support {
        Support::Inert { why } => inert.add(name.to_owned(), why.into()),
        Support::Refused { why } if !is_in_table => {
            // The value may be a secret: what a plug-in's key holds is not known here.
            return Err(ConfigError::NotSupported { name: name.to_owned(), value: "****".to_owned(), why });
        }
        Support::Honoured | Support::Refused { .. } => {}
    }
    Ok(is_in_table)
}

/// Either of `broker.id` and `node.id` alone sets both, and is shown as both. Source: KafkaConfig.populateSynonyms.
fn alias_node_id(merged: &mut BTreeMap<String, Explicit>) {
    let is_set = |set: &&Explicit| set.value.trim() != "-1";
    let broker_id = merged.get("broker.id").filter(is_set).cloned();
    let node_id = merged.get("node.id").cloned();
    if let Some(id) = broker_id.or_else(|| node_id.clone()) {
        merged.insert("broker.id".to_owned(), id.clone());
        merged.insert("node.id".to_owned(), node_id.unwrap_or(id));
    }
}
