//! Settings from the environment.

use super::{Entry, Explicit, Found, Problem, Source};
use crate::keys;

/// Variables that begin like settings and are none: the command line and the log read them.
pub const OTHER_VARIABLES: &[&str] = &["OTTLA_CONFIG", "OTTLA_LOG"];

const PREFIX: &str = "OTTLA_";

/// The variable that sets that key of the broker.
#[must_use]
pub fn variable_of(name: &str) -> String {
    let name = name.strip_prefix("ottla.").unwrap_or(name);
    format!("{PREFIX}{}", name.replace('.', "_").to_uppercase())
}

pub(super) fn read(environment: &[(String, String)], found: &mut Found) {
    for (variable, value) in environment {
        if !variable.starts_with(PREFIX) || OTHER_VARIABLES.contains(&variable.as_str()) {
            continue;
        }
        match keys::of_broker().find(|key| variable_of(key.name) == *variable) {
            Some(key) => found.entries.push(Entry {
                name: key.name.to_owned(),
                explicit: Explicit {
                    value: value.clone(),
                    source: Source::Environment { variable: variable.clone() },
                },
            }),
            None => found.problems.push(Problem::UnknownVariable { variable: variable.clone() }),
        }
    }
}
