//! What members of protocol type `consumer` say of themselves: the topics to which they subscribe. Only these are read
//! here; the rest is between the members. Source: ConsumerProtocolSubscription.json.
//!
//! ```text
//!   version: i16 | topics: i32 count, then each i16 length and UTF-8 | user data: i32 length (-1: none) and bytes | …
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

/// The protocol type of consumers.
pub(crate) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Adds the topics of a subscription, or answers `None` where the bytes are none.
pub(super) fn add_topics(metadata: &[u8], topics: &mut BTreeSet<Arc<str>>) -> Option<()> {
    let (version, rest) = metadata.split_first_chunk()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk()?;
    let count = u32::try_from(i32::from_be_bytes(*count)).ok()?;
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok()?;
        if !topics.contains(name) {
            topics.insert(name.into());
        }
        rest = after;
    }
    let (length, rest) = rest.split_first_chunk()?;
    let user_data = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
    (user_data <= rest.len()).then_some(())
}

#[cfg(test)]
mod tests;
