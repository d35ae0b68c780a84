//! The identity of the cluster and its feature levels. Source: KIP-584, KIP-778, KIP-1022, `FeatureControlManager.java`.
//!
//! A level is finalised here only for what works: `transaction.version` stays away until transactions are served, since a
//! Java client chooses its transaction protocol by the finalised level alone.

use crate::controller::Env;
use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use storage::ids::{BrokerId, TopicId};

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

/// The features of this version, with the range of levels, inclusive, that it can run; each of them works. The lowest
/// metadata.version is Kafka 3.3-IV3, below which no Kafka without ZooKeeper goes. Source: `MetadataVersion.java`.
pub const SUPPORTED_LEVELS: &[(&str, i16, i16)] = &[
    (METADATA_VERSION, 7, METADATA_VERSION_LEVEL),
    (GROUP_VERSION, GROUP_VERSION_LEVEL, GROUP_VERSION_LEVEL),
];

/// A request to finalise levels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateFeatures {
    /// The features; of one that is named twice, the last counts.
    pub updates: Vec<FeatureUpdate>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// The level of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureUpdate {
    /// The feature's name.
    pub feature: String,
    /// The level that it is to have.
    pub level: i16,
    /// Which changes are meant.
    pub upgrade_type: UpgradeType,
}

/// Which changes of a level are meant. Source: `FeatureUpdate.UpgradeType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpgradeType {
    /// To a later level.
    Upgrade,
    /// To an earlier one where no metadata is lost.
    SafeDowngrade,
    /// To an earlier one.
    UnsafeDowngrade,
    /// A kind of a later Kafka.
    Unknown,
}

/// Why no level was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum UpdateFeatureError {
    /// The level of a feature is not one that it can have.
    #[error("Invalid update version {level} for feature {feature}. {reason}")]
    InvalidLevel {
        /// The feature.
        feature: String,
        /// The level.
        level: i16,
        /// Why not.
        reason: InvalidLevel,
    },
    /// What the metadata holds does not fit an earlier release.
    #[error(
        "Unsupported metadata.version downgrade from {from} to {to}. Refusing to perform the requested downgrade because \
         it might delete metadata information."
    )]
    MetadataDowngrade {
        /// The level that is.
        from: i16,
        /// The level that was asked for.
        to: i16,
    },
    /// The same, and the request takes the loss.
    #[error(
        "Unsupported metadata.version downgrade from {from} to {to}. Unsafe metadata downgrade is not supported in this \
         version."
    )]
    UnsafeMetadataDowngrade {
        /// The level that is.
        from: i16,
        /// The level that was asked for.
        to: i16,
    },
}

/// Why a feature cannot have a level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum InvalidLevel {
    /// The kind of the update is unknown.
    #[error("The controller does not support the given upgrade type.")]
    UnknownUpgradeType,
    /// It is no level.
    #[error("A feature version cannot be less than 0.")]
    Negative,
    /// There is no such feature.
    #[error("Local controller {controller} does not support this feature.")]
    UnsupportedFeature {
        /// The node that decides.
        controller: BrokerId,
    },
    /// The feature has other levels.
    #[error("Local controller {controller} only supports versions {levels}", levels = LevelRange { min: *min, max: *max })]
    UnsupportedLevel {
        /// The node that decides.
        controller: BrokerId,
        /// The lowest.
        min: i16,
        /// The highest.
        max: i16,
    },
    /// There is no such feature, and there is to be none.
    #[error("Feature {feature} not found.")]
    NotFound {
        /// The feature.
        feature: String,
    },
    /// The level is an earlier one, and the request means a later one.
    #[error(
        "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
    )]
    IsDowngrade,
    /// The level is a later one, and the request means an earlier one.
    #[error("Can't downgrade to a newer version.")]
    IsUpgrade,
}

/// Levels as Kafka writes them. Source: `VersionRange.java`.
struct LevelRange {
    min: i16,
    max: i16,
}

impl std::fmt::Display for LevelRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.min == self.max {
            true => write!(formatter, "{}", self.min),
            false => write!(formatter, "{}-{}", self.min, self.max),
        }
    }
}

/// Finalises the levels, all of them or none.
pub(super) fn update(
    request: &UpdateFeatures,
    controller: BrokerId,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Result<(), UpdateFeatureError>) {
    let updates: BTreeMap<&str, &FeatureUpdate> =
        request.updates.iter().map(|update| (update.feature.as_str(), update)).collect();
    let mut records = Vec::new();
    for (feature, update) in updates {
        let current = image.features().get(feature).copied().unwrap_or(0);
        if let Err(error) = check(update, current, controller) {
            return (Vec::new(), Err(error));
        }
        if update.level != current {
            records.push(MetadataRecord::FeatureLevel { name: feature.to_owned(), level: update.level });
        }
    }
    if request.validate_only {
        records.clear();
    }
    (records, Ok(()))
}

fn check(update: &FeatureUpdate, current: i16, controller: BrokerId) -> Result<(), UpdateFeatureError> {
    let FeatureUpdate { feature, level, upgrade_type } = update;
    let (level, upgrade_type) = (*level, *upgrade_type);
    check_level(update, current, controller).map_err(|reason| UpdateFeatureError::InvalidLevel {
        feature: feature.clone(),
        level,
        reason,
    })?;
    if feature == METADATA_VERSION && level < current {
        let (from, to) = (current, level);
        return Err(match upgrade_type {
            UpgradeType::UnsafeDowngrade => UpdateFeatureError::UnsafeMetadataDowngrade { from, to },
            UpgradeType::SafeDowngrade | UpgradeType::Upgrade | UpgradeType::Unknown => {
                UpdateFeatureError::MetadataDowngrade { from, to }
            }
        });
    }
    Ok(())
}

fn check_level(update: &FeatureUpdate, current: i16, controller: BrokerId) -> Result<(), InvalidLevel> {
    let FeatureUpdate { feature, level, upgrade_type } = update;
    let (level, upgrade_type) = (*level, *upgrade_type);
    if upgrade_type == UpgradeType::Unknown {
        return Err(InvalidLevel::UnknownUpgradeType);
    }
    if level < 0 {
        return Err(InvalidLevel::Negative);
    }
    let supported = SUPPORTED_LEVELS.iter().find(|(name, _, _)| name == feature);
    match supported {
        None if level == 0 => return Err(InvalidLevel::NotFound { feature: feature.clone() }),
        None => return Err(InvalidLevel::UnsupportedFeature { controller }),
        Some(&(_, min, max)) if level < min || level > max => {
            return Err(InvalidLevel::UnsupportedLevel { controller, min, max });
        }
        Some(_) => {}
    }
    if level < current && upgrade_type == UpgradeType::Upgrade {
        return Err(InvalidLevel::IsDowngrade);
    }
    if level > current && upgrade_type != UpgradeType::Upgrade {
        return Err(InvalidLevel::IsUpgrade);
    }
    Ok(())
}

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

#[cfg(test)]
mod tests {
    use super::{
        FeatureUpdate, GROUP_VERSION, METADATA_VERSION, METADATA_VERSION_LEVEL, UpdateFeatures, UpgradeType,
        update,
    };
    use crate::metadata::image::MetadataImage;
    use crate::metadata::record::MetadataRecord;
    use storage::ids::BrokerId;

    const CONTROLLER: BrokerId = BrokerId(2);

    fn finalised(levels: &[(&str, i16)]) -> MetadataImage {
        let record =
            |&(name, level): &(&str, i16)| MetadataRecord::FeatureLevel { name: name.to_owned(), level };
        let records: Vec<_> = levels.iter().map(record).collect();
        MetadataImage::default().apply(1, &records)
    }

    fn ask(feature: &str, level: i16, upgrade_type: UpgradeType) -> UpdateFeatures {
        let update = FeatureUpdate { feature: feature.to_owned(), level, upgrade_type };
        UpdateFeatures { updates: vec![update], validate_only: false }
    }

    #[test]
    fn levels_that_cannot_be_are_refused_in_kafkas_words() {
        use UpgradeType::{SafeDowngrade, Unknown, UnsafeDowngrade, Upgrade};
        let image = finalised(&[(METADATA_VERSION, METADATA_VERSION_LEVEL), (GROUP_VERSION, 1)]);
        for (feature, level, upgrade_type, expected) in [
            (METADATA_VERSION, 34, Upgrade, "Local controller 2 only supports versions 7-33"),
            (
                METADATA_VERSION,
                20,
                Upgrade,
                "without setting the upgrade type to either safe or unsafe downgrade.",
            ),
            (METADATA_VERSION, 20, SafeDowngrade, "because it might delete metadata information."),
            (
                METADATA_VERSION,
                20,
                UnsafeDowngrade,
                "Unsafe metadata downgrade is not supported in this version.",
            ),
            (GROUP_VERSION, 0, SafeDowngrade, "Local controller 2 only supports versions 1"),
            (GROUP_VERSION, -1, Upgrade, "A feature version cannot be less than 0."),
            (GROUP_VERSION, 1, Unknown, "The controller does not support the given upgrade type."),
            ("foo", 0, SafeDowngrade, "Invalid update version 0 for feature foo. Feature foo not found."),
            ("foo", 1, Upgrade, "Local controller 2 does not support this feature."),
        ] {
            let (records, result) = update(&ask(feature, level, upgrade_type), CONTROLLER, &image);
            let message = result.expect_err("it is refused").to_string();
            assert!(message.ends_with(expected), "{feature} {level} {upgrade_type:?}: {message}");
            assert!(records.is_empty());
        }
    }

    #[test]
    fn a_level_is_finalised_once_and_all_or_none_of_a_request_are() {
        let image = finalised(&[(METADATA_VERSION, METADATA_VERSION_LEVEL)]);
        let group = ask(GROUP_VERSION, 1, UpgradeType::Upgrade);
        let (records, result) = update(&group, CONTROLLER, &image);
        let expected = MetadataRecord::FeatureLevel { name: GROUP_VERSION.to_owned(), level: 1 };
        assert_eq!((records, result), (vec![expected], Ok(())));
        let (records, result) =
            update(&UpdateFeatures { validate_only: true, ..group.clone() }, CONTROLLER, &image);
        assert_eq!((records, result), (vec![], Ok(())));
        let (records, result) = update(&group, CONTROLLER, &finalised(&[(GROUP_VERSION, 1)]));
        assert_eq!((records, result), (vec![], Ok(())), "it is so already");
        let mut both = group;
        both.updates.extend(ask("foo", 1, UpgradeType::Upgrade).updates);
        let (records, result) = update(&both, CONTROLLER, &image);
        assert!(records.is_empty() && result.is_err());
    }
}
