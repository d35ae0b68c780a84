//! What is wrong with a configuration, as sentences that name the key, the value and the way out.

use std::fmt;
use std::path::PathBuf;

use super::nearest::nearest;
use super::{Source, variable_of};
use crate::error::ConfigError;
use crate::keys::{self, Key};
use crate::value::Rule;

/// Everything that is wrong with a configuration; never empty. Displays as one line for each.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigErrors(pub Vec<Problem>);

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// A key that is not in the table.
    UnknownKey {
        /// The name as given.
        name: String,
        /// Where it stands.
        source: Source,
    },
    /// A variable that sets no key.
    UnknownVariable {
        /// The variable.
        variable: String,
    },
    /// A value that is not accepted.
    Setting {
        /// Where it stands; none when it is the absence of a setting that is wrong.
        source: Option<Source>,
        /// What is wrong.
        error: ConfigError,
    },
    /// `--set` without `=`.
    NotASetting {
        /// What followed `--set`.
        argument: String,
    },
    /// The file is not of the form that it seems to have.
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A TOML key is the beginning of another, and so would have to be a value and a table at once.
    PrefixKey {
        /// The file.
        path: PathBuf,
        /// The line of the shorter key, from 1.
        line: usize,
        /// The shorter key.
        name: String,
        /// The longer key.
        longer: String,
    },
    /// A key stands twice in a TOML file, in different forms.
    DuplicateKey {
        /// The file.
        path: PathBuf,
        /// The line of the second, from 1.
        line: usize,
        /// The key.
        name: String,
    },
    /// A TOML value that no key can have, such as a date.
    NotAValue {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        name: String,
        /// What kind of value it is.
        kind: &'static str,
    },
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { name, source } => {
                write!(formatter, "{source}: there is no key {name}; {}", suggestion(name))
            }
            Self::UnknownVariable { variable } => {
                let variables: Vec<String> = keys::of_broker().map(|key| variable_of(key.name)).collect();
                write!(formatter, "environment: {variable} sets no key; ")?;
                match nearest(variable, variables.iter().map(String::as_str)) {
                    Some(nearest) => write!(formatter, "did you mean {nearest}?"),
                    None => formatter.write_str("unset it, or see `ottla config` for the keys"),
                }
            }
            Self::Setting { source: Some(source), error } => {
                write!(formatter, "{source}: {error}{}", way_out(error))
            }
            Self::Setting { source: None, error } => write!(formatter, "{error}{}", way_out(error)),
            Self::NotASetting { argument } => {
                write!(formatter, "--set {argument}: this is not of the form KEY=VALUE")
            }
            Self::Syntax { path, line, message } => {
                write!(formatter, "{}, line {line}: {message}", path.display())
            }
            Self::PrefixKey { path, line, name, longer } => write!(
                formatter,
                "{}, line {line}: {name} is also the beginning of {longer}; write it in quotes, above the first \
                 [table]: \"{name}\" = ...",
                path.display()
            ),
            Self::DuplicateKey { path, line, name } => {
                write!(
                    formatter,
                    "{}, line {line}: {name} is there a second time; remove one",
                    path.display()
                )
            }
            Self::NotAValue { path, line, name, kind } => write!(
                formatter,
                "{}, line {line}: {name} has a value of type {kind}; give it text, a number, true, false, or an array \
                 of these",
                path.display()
            ),
        }
    }
}

/// What to write instead of a key that is not known.
fn suggestion(name: &str) -> String {
    if let Some(synonym) = keys::topic_key(name).and_then(|key| key.synonyms.first()) {
        return format!("it is a setting of topics, and the broker's default for it is {}", synonym.name);
    }
    if keys::topic_key(name).is_some() || keys::group_key(name).is_some() {
        return "it is set by clients, for a topic or a group".to_owned();
    }
    match nearest(name, keys::of_broker().map(|key| key.name)) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "remove it, or see `ottla config` for the keys".to_owned(),
    }
}

/// What to write instead of a value that is not accepted, where the error does not say.
fn way_out(error: &ConfigError) -> String {
    match error {
        ConfigError::InvalidValue { name, .. } => {
            keys::broker_key(name).map(|key| format!("; {}", valid_values(key))).unwrap_or_default()
        }
        ConfigError::NotSupported { name, .. } if keys::broker_key(name).is_none() => {
            "; remove it".to_owned()
        }
        ConfigError::NotSupported { name, .. } => match keys::broker_key(name).and_then(|key| key.default) {
            Some("") | None => "; remove it".to_owned(),
            Some(default) => format!("; remove it, or set it to {default}"),
        },
        ConfigError::TwoNodeIds => " Remove broker.id.".to_owned(),
        ConfigError::CompactionLags { .. } => "; raise log.cleaner.max.compaction.lag.ms".to_owned(),
        ConfigError::Unfitting { .. } => "; change one of them".to_owned(),
        ConfigError::NoDirectory { .. } => ", or remove it for ./ottla-data".to_owned(),
        ConfigError::NoClassicProtocol => " Add classic.".to_owned(),
        ConfigError::UnknownTopicKey { .. }
        | ConfigError::UnknownGroupKey { .. }
        | ConfigError::UnknownBrokerKey { .. }
        | ConfigError::InvalidAddress { .. }
        | ConfigError::RetentionOfNothing
        | ConfigError::NotOneDirectory { .. }
        | ConfigError::NoBrokerRole { .. }
        | ConfigError::SeveralNodes { .. }
        | ConfigError::ReplicaSet { .. }
        | ConfigError::PlaintextBetweenMachines { .. }
        | ConfigError::IncompletePeerTls { .. }
        | ConfigError::NotDynamic { .. }
        | ConfigError::AtStart { .. }
        | ConfigError::TooManyCustomKeys
        | ConfigError::Threads { .. }
        | ConfigError::NotAList { .. } => String::new(),
    }
}

fn valid_values(key: &Key) -> String {
    let what = match key.rule {
        Rule::Any => format!("give it a value of type {}", key.value_type),
        Rule::OneOf(_) | Rule::OneOfAnyCase(_) | Rule::ListOf(_) | Rule::SomeOf(_) => {
            "give it one of these".to_owned()
        }
        Rule::AtLeast(_) | Rule::Threads | Rule::Between(..) | Rule::BetweenOr(..) => {
            format!("give it a number of {}", key.rule)
        }
        Rule::Replicas | Rule::AddressLimits => format!("give it {}", key.rule),
    };
    match (key.default, key.default_in_set) {
        (Some(default), None) => format!("{what}, or remove it for {default}"),
        (None, _) | (_, Some(_)) => format!("{what}, or remove it"),
    }
}
