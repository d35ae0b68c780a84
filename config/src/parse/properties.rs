//! Java properties files, such as Apache Kafka's `server.properties`. Source: java.util.Properties.load.
//!
//! A key ends at the first `=`, `:` or white space that no backslash escapes. A line that ends in an odd number of
//! backslashes goes on in the next one. The last of several values of a key counts, as in Java, with a warning.

use std::path::Path;

use super::{Entry, Explicit, Found, Problem, Source};

pub(super) fn read(path: &Path, text: &str, found: &mut Found) {
    for (line, logical) in logical_lines(text) {
        let (name, value) = split(&logical);
        match (unescape(name), unescape(value)) {
            (Some(name), Some(value)) => {
                if found.entries.iter().any(|entry| entry.name == name) {
                    found.warnings.push(format!(
                        "{}, line {line}: {name} is there again, and the last one counts",
                        path.display()
                    ));
                }
                let source = Source::File { path: path.to_owned(), line };
                found.entries.push(Entry { name, explicit: Explicit { value, source } });
            }
            (None, _) | (_, None) => found.problems.push(Problem::Syntax {
                path: path.to_owned(),
                line,
                message: "a \\u is not followed by the four hexadecimal digits of a character".to_owned(),
            }),
        }
    }
}

/// The lines that hold settings, each joined with those that continue it, and the number of its first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = Vec::new();
    let mut numbered = text.split('\n').zip(1..);
    while let Some((line, number)) = numbered.next() {
        let line = line.trim_start_matches(is_white);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while ends_in_continuation(&logical) {
            logical.pop();
            match numbered.next() {
                Some((next, _)) => logical.push_str(next.trim_start_matches(is_white)),
                None => break,
            }
        }
        lines.push((number, logical));
    }
    lines
}

fn ends_in_continuation(line: &str) -> bool {
    line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

/// Splits a logical line into key and value, both with their escapes.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|c: char| {
        let ends = !is_escaped && (c == '=' || c == ':' || is_white(c));
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    let Some((name, rest)) = end.and_then(|end| line.split_at_checked(end)) else {
        return (line, "");
    };
    let rest = rest.trim_start_matches(is_white);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (name, rest.trim_start_matches(is_white))
}

/// Resolves escapes; none when a `\u` is malformed.
fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let is_complete =
                        digits.len() == 4 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
                    units.push(is_complete.then(|| u16::from_str_radix(&digits, 16).ok()).flatten()?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => continue,
            },
            other => other,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).ok()
}

fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}
