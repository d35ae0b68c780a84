//! The settings of a group.
//!
//! Groups are not served yet, so no setting is honoured, and there is no typed struct.

use crate::error::ConfigError;
use crate::keys;

/// Checks a value that a client wants to give to a key of a group.
///
/// # Errors
/// When there is no such key, or the value is not accepted.
pub fn validate_override(name: &str, value: &str) -> Result<(), ConfigError> {
    let key = keys::group_key(name).ok_or_else(|| ConfigError::UnknownGroupKey { name: name.to_owned() })?;
    key.read(value).map(|_| ())
}
