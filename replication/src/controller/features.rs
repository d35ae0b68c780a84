//! The identity of the cluster and its feature levels. Source: KIP-584, KIP-1022.
//!
//! A level is finalised here only for what works: `transaction.version` and `group.version` stay away until their
//! protocols are served, since a Java client chooses its transaction protocol by the finalised level alone.

use crate::controller::Env;
use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use storage::ids::TopicId;

/// The feature whose level names the Kafka release that the cluster behaves like.
pub const METADATA_VERSION: &str = "metadata.version";

/// Kafka 4.4-IV2, the release whose API versions are served. Source: `MetadataVersion.java`.
pub const METADATA_VERSION_LEVEL: i16 = 33;

/// The records of a new cluster; none where the image has a cluster id.
pub(super) fn form_cluster(env: &mut Env<'_>, image: &MetadataImage) -> Vec<MetadataRecord> {
    if image.cluster_id().is_some() {
        return Vec::new();
    }
    vec![
        MetadataRecord::ClusterId { id: random_id(env).to_string() },
        MetadataRecord::FeatureLevel { name: METADATA_VERSION.to_owned(), level: METADATA_VERSION_LEVEL },
    ]
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
