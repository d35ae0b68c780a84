//! `ottla config`: the reference of the configuration keys, printed from their table.

use super::{ConfigArguments, OutputForm};
use anyhow::bail;
use config::keys::{self, Key};
use config::parse::nearest::nearest;
use config::reference;
use serde_json::{Value, json};

/// Prints the reference of all keys, or of one.
///
/// # Errors
/// When there is no such key, or standard output is closed.
pub fn run(arguments: &ConfigArguments) -> anyhow::Result<()> {
    let chosen = |key: &&Key| arguments.key.as_ref().is_none_or(|name| key.name == name);
    if keys::all().find(chosen).is_none() {
        bail!("{}", unknown(arguments.key.as_deref().unwrap_or_default()));
    }
    let text = match (arguments.output, &arguments.key) {
        (OutputForm::Json, _) => format!("{:#}\n", Value::from_iter(keys::all().filter(chosen).map(row))),
        (OutputForm::Text, None) => reference::text(),
        (OutputForm::Text, Some(name)) => reference::key(name).unwrap_or_default(),
        (OutputForm::Markdown, _) => reference::markdown(),
    };
    super::print(&text)
}

/// What is said of a key that there is none of.
fn unknown(name: &str) -> String {
    match nearest(name, keys::all().map(|key| key.name)) {
        Some(nearest) => format!("there is no key {name}; did you mean {nearest}?"),
        None => format!("there is no key {name}; `ottla config` without a key lists all of them"),
    }
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

#[cfg(test)]
mod tests {
    use super::unknown;

    #[test]
    fn a_key_that_is_not_there_names_the_nearest() {
        assert_eq!(unknown("num.partition"), "there is no key num.partition; did you mean num.partitions?");
        assert_eq!(unknown("retention.m"), "there is no key retention.m; did you mean retention.ms?");
        assert_eq!(
            unknown("quite.another.thing"),
            "there is no key quite.another.thing; `ottla config` without a key lists all of them"
        );
    }
}
