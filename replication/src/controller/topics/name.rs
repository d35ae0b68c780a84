//! Which names a topic may have. Source: `org.apache.kafka.common.internals.Topic`.

use crate::controller::topics::CreateTopicError;
use crate::metadata::image::MetadataImage;
use serde::{Deserialize, Serialize};

/// The longest name. Larger: the name of a partition's directory would not fit into 255 bytes.
const NAME_LEN_MAX: usize = 249;

/// The name that Kafka gives to its metadata log.
pub(super) const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Why a string is no name of a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum InvalidTopicName {
    /// No characters.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// A path that is no file.
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Dots(String),
    /// More than 249 characters.
    #[error(
        "Topic name is invalid: the length of '{0}' is longer than the max allowed length {NAME_LEN_MAX}"
    )]
    TooLong(String),
    /// A character that no name may have.
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )]
    IllegalCharacter(String),
}

/// Checks that `name` is one that a topic may have.
///
/// # Errors
///
/// [`InvalidTopicName`] says what is wrong with it.
pub fn validate_name(name: &str) -> Result<(), InvalidTopicName> {
    if name.is_empty() {
        return Err(InvalidTopicName::Empty);
    }
    if name == "." || name == ".." {
        return Err(InvalidTopicName::Dots(name.to_owned()));
    }
    if name.chars().count() > NAME_LEN_MAX {
        return Err(InvalidTopicName::TooLong(name.to_owned()));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return Err(InvalidTopicName::IllegalCharacter(name.to_owned()));
    }
    Ok(())
}

/// Checks that a topic of this name may be created beside those of the image.
pub(super) fn check_new(name: &str, image: &MetadataImage) -> Result<(), CreateTopicError> {
    if name == CLUSTER_METADATA {
        return Err(CreateTopicError::MetadataTopic);
    }
    validate_name(name)?;
    if image.topic_by_name(name).is_some() {
        return Err(CreateTopicError::AlreadyExists { name: name.to_owned() });
    }
    if let Some(existing) = colliding(name, image) {
        return Err(CreateTopicError::Collides { name: name.to_owned(), existing });
    }
    Ok(())
}

/// An existing topic whose name differs from `name` by dots and underscores alone.
///
/// Names that collide agree up to the first dot or underscore, and only names between `prefix.` and `prefix_` with
/// what follows can do so: few topics are looked at, not all.
fn colliding(name: &str, image: &MetadataImage) -> Option<String> {
    let prefix = name.get(..name.find(['.', '_'])?)?;
    let unified = |name: &str| name.replace('.', "_");
    let wanted = unified(name);
    ['.', '_'].iter().find_map(|separator| {
        let start = format!("{prefix}{separator}");
        image
            .topics_from(&start)
            .take_while(|topic| topic.name.starts_with(&start))
            .find(|topic| unified(&topic.name) == wanted)
            .map(|topic| topic.name.to_string())
    })
}
