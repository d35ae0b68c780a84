//! `ottla config`: the reference of the configuration keys, printed from their table.

use super::{ConfigArguments, OutputForm};
use anyhow::bail;
use config::keys::{self, Key};
use config::reference;
use serde_json::{Value, json};

/// Prints the reference of all keys, or of one.
///
/// # Errors
/// When there is no such key, or standard output is closed.
pub fn run(arguments: &ConfigArguments) -> anyhow::Result<()> {
    let chosen = |key: &&Key| arguments.key.as_ref().is_none_or(|name| key.name == name);
    if keys::all().find(chosen).is_none() {
        let name = arguments.key.as_deref().unwrap_or_default();
        bail!("there is no key {name}; `ottla config` without a key lists all of them");
    }
    let text = match (arguments.output, &arguments.key) {
        (OutputForm::Json, _) => format!("{:#}\n", Value::from_iter(keys::all().filter(chosen).map(row))),
        (OutputForm::Text, None) => reference::text(),
        (OutputForm::Text, Some(name)) => reference::key(name).unwrap_or_default(),
        (OutputForm::Markdown, _) => reference::markdown(),
    };
    super::print(&text)
}

fn row(key: &'static Key) -> Value {
    json!({
        "name": key.name,
        "type": format!("{:?}", key.value_type).to_lowercase(),
        "default": key.default,
        "default_in_replica_set": key.default_in_set.or(key.default),
        "scope": format!("{:?}", key.scope),
        "honoured": key.support == keys::Support::Honoured,
        "documentation": key.doc,
    })
}
