//! The identity of the cluster and its feature levels. Source: KIP-584, KIP-1022.
//!
//! A level is finalised here only for what works: `transaction.version` stays away until transactions are served, since a
//! Java client chooses its transaction protocol by the finalised level alone.

use crate::controller::Env;
use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use storage::ids::TopicId;

/// The feature whose level names the Kafka release that the cluster behaves like.
pub const METADATA_VERSION: &str = "metadata.version";

/// Kafka 4.4-IV2, the release whose API versions are served. Source: `MetadataVersion.java`.
pub const METADATA_VERSION_LEVEL: i16 = 33;

/// The feature whose level says whether the consumer protocol of groups (KIP-848) is served.
pub const GROUP_VERSION: &str = "group.version";

/// It is. Source: `GroupVersion.java`.
pub const GROUP_VERSION_LEVEL: i16 = 1;

/// What every cluster of this version has.
const LEVELS: &[(&str, i16)] =
    &[(METADATA_VERSION, METADATA_VERSION_LEVEL), (GROUP_VERSION, GROUP_VERSION_LEVEL)];

/// The records of a new cluster; of one that an earlier version formed, the levels that have come since.
pub(super) fn form_cluster(env: &mut Env<'_>, image: &MetadataImage) -> Vec<MetadataRecord> {
    let mut records = Vec::new();
    if image.cluster_id().is_none() {
        records.push(MetadataRecord::ClusterId { id: random_id(env).to_string() });
    }
    records.extend(
        LEVELS
            .iter()
            .filter(|(name, _)| !image.features().contains_key(*name))
            .map(|&(name, level)| MetadataRecord::FeatureLevel { name: name.to_owned(), level }),
    );
    records
}

/// A random version 4 UUID that is none of Kafka's reserved ones and whose text does not begin with a dash, which
/// command-line tools would take for an option. Source: `org.apache.kafka.common.Uuid.randomUuid`.
pub(super) fn random_id(env: &mut Env<'_>) -> TopicId {
    loop {
        let random = (env.random)();
        let id = TopicId(uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid());
        // The reserved ids are (0, 0), (0, 1) and (0, 2), none of which has the bits of version 4.
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}
