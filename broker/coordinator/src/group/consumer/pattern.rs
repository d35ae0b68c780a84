//! The patterns that members subscribe with: in the syntax of RE2, which Kafka reads them in, and matched against whole
//! names of topics in a time that is linear in the name.
//!
//! Bounded, since anybody who may join a group can give one: its length by [`PATTERN_BYTES_MAX`], what it is compiled
//! to by [`COMPILED_BYTES_MAX`]. A pattern beyond that is refused as one that cannot be read is.
//!
//! Source: KIP-848, Utils.java (`throwIfRegularExpressionIsInvalid`), TopicRegexResolver.java.

mod syntax;
#[cfg(test)]
mod tests;

use regex::bytes::{Regex, RegexBuilder};

use crate::error::GroupError;

/// The longest pattern. Shorter would refuse lists of topics that people write; longer is more to compile for each
/// refresh, and more to keep in each record.
const PATTERN_BYTES_MAX: usize = 8 * 1024;

/// What a pattern may be compiled to, and what may be remembered while it is matched. Less would refuse long lists of
/// topics; more lets one member keep the shard busy: the time to match a name grows with it in the worst case.
const COMPILED_BYTES_MAX: usize = 512 * 1024;

/// A pattern that can be read.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`GroupError::InvalidRegularExpression`] with a sentence for the client.
    pub(crate) fn read(pattern: &str) -> Result<Self, GroupError> {
        compile(pattern).map(Self).map_err(|why| {
            let shown: String = pattern.chars().take(200).collect();
            GroupError::InvalidRegularExpression(format!(
                "SubscribedTopicRegex `{shown}` is not a valid regular expression: {why}."
            ))
        })
    }

    /// Whether the whole name matches.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.0.is_match(topic.as_bytes())
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("it is longer than {PATTERN_BYTES_MAX} bytes"));
    }
    let translated = syntax::translate(pattern)?;
    // Names of topics are ASCII. Only what speaks of other letters needs the tables of Unicode, which are large.
    RegexBuilder::new(&format!(r"\A(?:{})\z", translated.text))
        .unicode(translated.is_unicode)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large when compiled".to_owned(),
            // The message points at the place over several lines, and names the fault in the last one.
            error => {
                error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        })
}
