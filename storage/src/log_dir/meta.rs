//! `meta.properties`: whose directory this is.
//!
//! ```text
//! version=1
//! cluster.id=<text>
//! node.id=<number>
//! directory.id=<base64url uuid>
//! ottla.format=1
//! ```
//! The first four are Apache Kafka's; the last is ours, and a directory without it was formatted by Kafka. Upgrade rule: a
//! version of ours that writes what this one cannot read raises `ottla.format`. Source: MetaProperties.java.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::{read_file, replace_file};
use crate::disk::{Disk, DiskError};
use crate::error::OpenError;
use crate::ids::{BrokerId, TopicId};

const FILE: &str = "meta.properties";
const FORMAT: u32 = 1;
const KAFKA_VERSION: &str = "1";
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Whose directory this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster.
    pub cluster_id: String,
    /// The node.
    pub node_id: BrokerId,
    /// This directory, a random id.
    pub directory_id: TopicId,
}

impl MetaProperties {
    pub(super) fn new(cluster_id: &str, node_id: BrokerId) -> Self {
        // Kafka takes no directory id that begins with a dash: tools would read an option.
        let ids = std::iter::repeat_with(|| TopicId(uuid::Uuid::new_v4()));
        let directory_id = ids.into_iter().find(|id| !id.to_string().starts_with('-'));
        let directory_id = directory_id.expect("the ids never end");
        Self { cluster_id: cluster_id.to_owned(), node_id, directory_id }
    }

    pub(super) fn check(&self, path: &Path, cluster_id: &str, node_id: BrokerId) -> Result<(), OpenError> {
        let foreign =
            |key, found, wanted| Err(OpenError::Foreign { path: path.to_owned(), key, found, wanted });
        if self.cluster_id != cluster_id {
            return foreign("cluster.id", self.cluster_id.clone(), cluster_id.to_owned());
        }
        if self.node_id != node_id {
            return foreign("node.id", self.node_id.to_string(), node_id.to_string());
        }
        Ok(())
    }
}

/// What the file says, or `None` where there is none.
pub(super) fn read<D: Disk>(disk: &D, directory: &Path) -> Result<Option<MetaProperties>, OpenError> {
    let path = directory.join(FILE);
    let Some(content) = read_file(disk, &path, FILE_BYTES_MAX)? else {
        return refuse_kafka_without_file(disk, directory);
    };
    let text = String::from_utf8_lossy(&content);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entries: BTreeMap<&str, &str> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let bad = |problem: String| OpenError::BadMetaProperties { path: path.clone(), problem };
    let entry = |key: &str| entries.get(key).copied().ok_or_else(|| bad(format!("{key} is missing")));
    let version = entry("version")?;
    let newer = |found: &str| {
        Err(OpenError::NewerFormat { path: directory.to_owned(), found: found.to_owned(), known: FORMAT })
    };
    let Some(format) = entries.get("ottla.format") else {
        return Err(OpenError::FormattedByKafka { path: directory.to_owned() });
    };
    if version != KAFKA_VERSION {
        return newer(version);
    }
    if format.parse() != Ok(FORMAT) {
        return newer(format);
    }
    let node_id = entry("node.id")?.parse().map_err(|_| bad("node.id is no number".into()))?;
    let directory_id =
        TopicId::parse(entry("directory.id")?).ok_or_else(|| bad("directory.id is no id".into()))?;
    Ok(Some(MetaProperties {
        cluster_id: entry("cluster.id")?.to_owned(),
        node_id: BrokerId(node_id),
        directory_id,
    }))
}

/// A directory of Kafka's that lost its file is still not ours.
fn refuse_kafka_without_file<D: Disk>(
    disk: &D,
    directory: &Path,
) -> Result<Option<MetaProperties>, OpenError> {
    let is_kafka = disk.list(directory)?.iter().any(|entry| entry.name == "__cluster_metadata-0");
    if is_kafka { Err(OpenError::FormattedByKafka { path: directory.to_owned() }) } else { Ok(None) }
}

pub(super) fn write<D: Disk>(disk: &D, directory: &Path, meta: &MetaProperties) -> Result<(), DiskError> {
    let MetaProperties { cluster_id, node_id, directory_id } = meta;
    let text = format!(
        "version={KAFKA_VERSION}\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\nottla.format={FORMAT}\n"
    );
    replace_file(disk, &directory.join(FILE), text.as_bytes())
}
