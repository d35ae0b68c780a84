//! kcat, the oldest C client in the field (Debian's 1.7.1 on librdkafka 2.0.2 is the smoke gate).

use anyhow::Result;

use super::debian;

/// The name of the program, installed by `apt-get` where that is possible and it is missing.
///
/// # Errors
/// Where `CI` is set and kcat cannot be had.
pub fn kcat() -> Result<Option<&'static str>> {
    debian::install("kcat", "kcat", "-V")
}
