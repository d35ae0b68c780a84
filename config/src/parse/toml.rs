//! TOML files whose dotted keys are Kafka's names.
//!
//! Tables are only another way to write the dots: `[log] dirs = "x"` is `log.dirs = "x"`. An array is a list. A key
//! that is the beginning of another (`max.connections` of `max.connections.per.ip`) cannot stand beside it unquoted.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{Entry, Explicit, Found, Problem, Source};

/// Whether the text is TOML.
pub(super) fn is_valid(text: &str) -> bool {
    DeTable::parse(text).is_ok()
}

/// Whether the text is meant to be TOML: it has a table, or a value in quotes.
pub(super) fn looks_like(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        let quoted =
            line.split_once('=').is_some_and(|(_, value)| value.trim_start().starts_with(['"', '\'']));
        !line.starts_with('#') && (line.starts_with('[') || quoted)
    })
}

pub(super) fn read(path: &Path, text: &str, found: &mut Found) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { path, text, found, broken_lines: Vec::new() };
    for error in &errors {
        let line = line_at(text, error.span().map_or(0, |span| span.start));
        reader.broken_lines.push(line);
    }
    let conflicts = if errors.is_empty() { Vec::new() } else { prefix_conflicts(path, text) };
    if conflicts.is_empty() {
        for (error, line) in errors.iter().zip(reader.broken_lines.clone()) {
            let message = error.message().replace('\n', "; ");
            reader.found.problems.push(Problem::Syntax { path: path.to_owned(), line, message });
        }
    }
    reader.found.problems.extend(conflicts);
    reader.table("", table.get_ref());
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    found: &'a mut Found,
    /// Lines with errors of their own; what was made of them is not looked at.
    broken_lines: Vec<usize>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            if let DeValue::Table(inner) = value.get_ref() {
                self.table(&name, inner);
                continue;
            }
            let line = line_at(self.text, key.span().start);
            if !self.broken_lines.contains(&line) {
                self.value(name, line, value.get_ref());
            }
        }
    }

    fn value(&mut self, name: String, line: usize, value: &DeValue<'_>) {
        let path = self.path.to_owned();
        match text_of(value) {
            Ok(_) if self.found.entries.iter().any(|entry| entry.name == name) => {
                self.found.problems.push(Problem::DuplicateKey { path, line, name });
            }
            Ok(value) => {
                let explicit = Explicit { value, source: Source::File { path, line } };
                self.found.entries.push(Entry { name, explicit });
            }
            Err(kind) => self.found.problems.push(Problem::NotAValue { path, line, name, kind }),
        }
    }
}

/// The value as text, or what kind of value it is when no key can have it.
fn text_of(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string(), |number| number.to_string())),
        DeValue::Float(number) => Ok(number.to_string()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Array(entries) => {
            let entries: Result<Vec<String>, _> = entries
                .iter()
                .map(|entry| match entry.get_ref() {
                    DeValue::Array(_) => Err("nested array"),
                    entry => text_of(entry),
                })
                .collect();
            Ok(entries?.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => Err(value.type_str()),
    }
}

/// Keys that begin other keys, found line by line, since a parser stops at the first that it meets.
fn prefix_conflicts(path: &Path, text: &str) -> Vec<Problem> {
    let keys = bare_keys(text);
    let longer_than = |name: &str| {
        keys.iter().find(|(_, longer)| longer.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    };
    keys.iter()
        .filter_map(|(line, name)| {
            let (_, longer) = longer_than(name)?;
            Some(Problem::PrefixKey {
                path: path.to_owned(),
                line: *line,
                name: name.clone(),
                longer: longer.clone(),
            })
        })
        .collect()
}

/// The keys without quotes, with the table they stand in, and their lines.
fn bare_keys(text: &str) -> Vec<(usize, String)> {
    let mut table = String::new();
    let mut keys = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            table = bare(header.split(']').next().unwrap_or(""))
                .map(|name| format!("{name}."))
                .unwrap_or_default();
        } else if let Some(name) = line.split_once('=').and_then(|(name, _)| bare(name)) {
            keys.push((number, format!("{table}{name}")));
        }
    }
    keys
}

/// A dotted key without white space, if none of its parts is in quotes.
fn bare(key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split('.').map(str::trim).collect();
    let is_bare = |part: &&str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    parts.iter().all(is_bare).then(|| parts.join("."))
}

/// The line, from 1, of a byte offset.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
