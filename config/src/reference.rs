//! The reference of all keys, as text for a terminal and as Markdown.
//!
//! Everything comes from the table; nothing is said here that is not a row there.

#[cfg(test)]
mod tests;

use crate::keys::{self, KafkaDefault, Key, Scope, Support};
use crate::parse::variable_of;
use crate::value::Rule;

/// What `ottla config` prints: the keys that this broker honours, then the others by reason.
#[must_use]
pub fn text() -> String {
    let mut out = String::from(INTRODUCTION_TEXT);
    for section in SECTIONS {
        out.push_str(&format!("\n{}\n{}\n", section.title, "-".repeat(section.title.len())));
        for key in section.keys() {
            out.push('\n');
            out.push_str(&entry(key));
        }
    }
    for (title, rest) in REST {
        out.push_str(&format!("\n{title}\n{}\n", "-".repeat(title.len())));
        for (why, names) in by_reason(*rest) {
            out.push_str(&format!("\n{}\n", wrapped(&format!("{}:", capitalised(why)), "")));
            out.push_str(&format!("{}\n", wrapped(&names.join(", "), "    ")));
        }
    }
    out
}

/// What `ottla config KEY` prints: all about the keys of that name, a broker's, a topic's or both. None if there are none.
#[must_use]
pub fn key(name: &str) -> Option<String> {
    let entries: Vec<String> = keys::all().filter(|key| key.name == name).map(entry).collect();
    (!entries.is_empty()).then(|| entries.join("\n"))
}

/// The same as [`text`], in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(INTRODUCTION_MARKDOWN);
    for section in SECTIONS {
        out.push_str(&format!(
            "\n## {}\n\n| Key | Type, valid values | Default | What it does |\n|---|---|---|---|\n",
            section.title
        ));
        for key in section.keys() {
            let (kind, default) = (kind(key), default(key));
            out.push_str(&format!("| `{}` | {kind} | {default} | {} |\n", key.name, sentences(key)));
        }
    }
    for (title, rest) in REST {
        out.push_str(&format!("\n## {title}\n\n| Why | Keys |\n|---|---|\n"));
        for (why, names) in by_reason(*rest) {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            out.push_str(&format!("| {} | {} |\n", capitalised(why), names.join(", ")));
        }
    }
    out
}

struct Section {
    title: &'static str,
    includes: fn(&Key) -> bool,
}

impl Section {
    fn keys(&self) -> impl Iterator<Item = &'static Key> {
        keys::all().filter(|key| key.support == Support::Honoured && (self.includes)(key))
    }
}

const SECTIONS: &[Section] = &[
    Section { title: "Keys of Ottla's own", includes: |key| key.kafka_default == KafkaDefault::NoSuchKey },
    Section {
        title: "The broker, at start",
        includes: |key| is_kafkas(key) && key.is_of_broker() && !key.is_dynamic(),
    },
    Section {
        title: "The broker, at start and while it runs",
        includes: |key| is_kafkas(key) && key.is_dynamic(),
    },
    Section { title: "Topics", includes: |key| key.scope == Scope::Topic },
    Section { title: "Groups", includes: |key| key.scope == Scope::Group },
    Section { title: "Subscriptions to clients' metrics", includes: |key| key.scope == Scope::ClientMetrics },
];

fn is_kafkas(key: &Key) -> bool {
    key.kafka_default != KafkaDefault::NoSuchKey
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Inert,
    Refused,
    RefusedOfClients,
}

const REST: &[(&str, Rest)] = &[
    ("Accepted, and changing nothing", Rest::Inert),
    ("Refused, but for their defaults", Rest::Refused),
    ("Refused for topics and groups, but for their defaults", Rest::RefusedOfClients),
];

const INTRODUCTION_TEXT: &str = "\
Settings come from --set KEY=VALUE, the environment, the file of --config and the defaults, in this order. The file is
TOML with these keys, or a Java properties file such as Apache Kafka's server.properties. In the environment a key is
OTTLA_ and its name in upper case with _ for . (num.partitions is OTTLA_NUM_PARTITIONS), and a key of Ottla's own has
OTTLA_ once (ottla.durability is OTTLA_DURABILITY).

While a broker runs, clients (kafka-configs, for example) change its keys for one broker or for all: those of the
section of that name. As with Apache Kafka, sizes of pools that are not here and names that are no keys are taken as
well, and the log says once that they change nothing. What Apache Kafka changes and Ottla does not: listeners,
listener.security.protocol.map, keys of encryption and authentication, and metric.reporters.
";

const INTRODUCTION_MARKDOWN: &str = "\
# Settings

Settings come from `--set KEY=VALUE`, the environment, the file of `--config` and the defaults, in this order. The file is
TOML with these keys, or a Java properties file such as Apache Kafka's `server.properties`. In the environment a key is
`OTTLA_` and its name in upper case with `_` for `.` (`num.partitions` is `OTTLA_NUM_PARTITIONS`), and a key of Ottla's own
has `OTTLA_` once (`ottla.durability` is `OTTLA_DURABILITY`).

While a broker runs, clients (`kafka-configs`, for example) change its keys for one broker or for all: those of the section of
that name. As with Apache Kafka, sizes of pools that are not here and names that are no keys are taken as well, and the log
says once that they change nothing. What Apache Kafka changes and Ottla does not: `listeners`,
`listener.security.protocol.map`, keys of encryption and authentication, and `metric.reporters`.

This page is made from the table of keys in `config/src/keys`; a test keeps it current.
";

fn entry(key: &Key) -> String {
    let mut out = format!("{}\n", key.name);
    let sentences = sentences(key);
    if !sentences.is_empty() {
        out.push_str(&format!("{}\n", wrapped(&sentences, "    ")));
    }
    let default = key.default.map_or("unset".to_owned(), |default| format!("\"{default}\""));
    out.push_str(&format!("{}\n", wrapped(&format!("{}; default {default}", kind(key)), "    ")));
    if key.support != Support::Honoured {
        out.push_str(&format!("{}\n", wrapped(&key.documentation(), "    ")));
    }
    if key.is_of_broker() {
        out.push_str(&format!("    Environment: {}\n", variable_of(key.name)));
    }
    out
}

/// What the key does, where that is not the reason why it does nothing, and what a user of Apache Kafka should know
/// beside it.
fn sentences(key: &Key) -> String {
    let is_the_reason = match key.support {
        Support::Honoured => false,
        Support::Inert { why } | Support::Refused { why } => why == key.doc,
    };
    let mut out = if is_the_reason { String::new() } else { key.doc.to_owned() };
    if let KafkaDefault::Differs { value, why } = key.kafka_default {
        let value = value.map_or("unset".to_owned(), |value| format!("{value:?}"));
        out.push_str(&format!(" Apache Kafka's default is {value}; here it is another, since {why}."));
    }
    if let Some(default) = key.default_in_set {
        out.push_str(&format!(" In a replica set the default is {default:?}."));
    }
    if let Some((first, others)) = key.synonyms.split_first() {
        out.push_str(&format!(" Its default is the broker's {}", first.name));
        for other in others {
            out.push_str(&format!(", else {}", other.name));
        }
        out.push('.');
    }
    out
}

fn kind(key: &Key) -> String {
    match key.rule {
        Rule::Any => key.value_type.to_string(),
        rule => format!("{}: {rule}", key.value_type),
    }
}

fn default(key: &Key) -> String {
    match key.default {
        None => "unset".to_owned(),
        Some("") => "empty".to_owned(),
        Some(default) => format!("`{default}`"),
    }
}

/// The keys of a kind by reason, in the order of the table, and after them the families.
fn by_reason(rest: Rest) -> Vec<(&'static str, Vec<String>)> {
    let rows = keys::all()
        .filter_map(|key| reason(key.support, key.scope, rest).map(|why| (why, key.name.to_owned())));
    let families = keys::FAMILIES.iter().filter_map(|family| {
        reason(family.support, Scope::BrokerReadOnly, rest).map(|why| (why, format!("{}*", family.prefix)))
    });
    let mut reasons: Vec<(&'static str, Vec<String>)> = Vec::new();
    for (why, name) in rows.chain(families) {
        match reasons.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, names)) => names.push(name),
            None => reasons.push((why, vec![name])),
        }
    }
    reasons
}

fn reason(support: Support, scope: Scope, rest: Rest) -> Option<&'static str> {
    let is_of_clients = matches!(scope, Scope::Topic | Scope::Group | Scope::ClientMetrics);
    match (support, rest) {
        (Support::Inert { why }, Rest::Inert) => Some(why),
        (Support::Refused { why }, Rest::Refused) if !is_of_clients => Some(why),
        (Support::Refused { why }, Rest::RefusedOfClients) if is_of_clients => Some(why),
        (Support::Honoured | Support::Inert { .. } | Support::Refused { .. }, _) => None,
    }
}

fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Breaks text into lines of at most 100 characters, where it has spaces.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= 100 => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}
