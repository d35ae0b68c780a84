//! UpdateFeatures (key 57, versions 0–2): finalises feature levels of the cluster, all that are named or none (KIP-584).
//!
//! The levels that can be had are those that ApiVersions names; see `replication::controller::features`.
//! Version notes: 0 allows a downgrade by a flag, 1 brings kinds of updates and validation alone (KIP-778), 2 answers with no
//! result for each feature. Source: `FeatureControlManager.java`, `QuorumController.updateFeatures`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;
use replication::controller::features::{FeatureUpdate, UpdateFeatures, UpgradeType};
use replication::controller::{ControllerReply, ControllerRequest};

/// The first version that names the kind of an update.
const UPGRADE_TYPES_SINCE: i16 = 1;

/// The last version with a result for each feature.
const RESULTS_UNTIL: i16 = 1;

pub(crate) async fn handle(
    context: RequestContext,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    let update = |update: &FeatureUpdateKey| FeatureUpdate {
        feature: update.feature.to_string(),
        level: update.max_version_level,
        upgrade_type: upgrade_type(update, context.version),
    };
    let updates = request.feature_updates.iter().map(update).collect();
    let update = UpdateFeatures { updates, validate_only: request.validate_only };
    let patience = limits::metadata_change_timeout(request.timeout_ms);
    let response = UpdateFeaturesResponse::default().with_error_message(None);
    match context.broker.propose(ControllerRequest::UpdateFeatures(update), patience).await {
        Ok(ControllerReply::UpdateFeatures(Ok(()))) if context.version <= RESULTS_UNTIL => {
            let results = request.feature_updates.into_iter().map(|update| {
                UpdatableFeatureResult::default().with_feature(update.feature).with_error_message(None)
            });
            response.with_results(results.collect())
        }
        Ok(ControllerReply::UpdateFeatures(Ok(()))) => response,
        Ok(ControllerReply::UpdateFeatures(Err(error))) => {
            let message = format!(
                "The update failed for all features since the following feature had an error: {error}"
            );
            response
                .with_error_code(error_code::of_update_feature(&error).code())
                .with_error_message(Some(StrBytes::from_string(message)))
        }
        Ok(other) => unreachable!("the controller answered features with {other:?}"),
        Err(error) => response
            .with_error_code(error_code::of_propose(&error).code())
            .with_error_message(Some(StrBytes::from_string(error.to_string()))),
    }
}

fn upgrade_type(update: &FeatureUpdateKey, version: i16) -> UpgradeType {
    if version < UPGRADE_TYPES_SINCE {
        return if update.allow_downgrade { UpgradeType::SafeDowngrade } else { UpgradeType::Upgrade };
    }
    match update.upgrade_type {
        1 => UpgradeType::Upgrade,
        2 => UpgradeType::SafeDowngrade,
        3 => UpgradeType::UnsafeDowngrade,
        _ => UpgradeType::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use crate::node::testing::TestNode;
    use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
    use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
    use kafka_protocol::protocol::StrBytes;

    fn request(feature: &'static str, level: i16) -> UpdateFeaturesRequest {
        let update = FeatureUpdateKey::default()
            .with_feature(StrBytes::from_static_str(feature))
            .with_max_version_level(level);
        UpdateFeaturesRequest::default().with_timeout_ms(30_000).with_feature_updates(vec![update])
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn updates_are_answered_in_every_version() {
        let node = TestNode::start(&[]).await;
        for version in 0..=2 {
            let same: UpdateFeaturesResponse = node.ask(57, version, &request("group.version", 1)).await;
            assert_eq!((same.error_code, same.results.len()), (0, usize::from(version < 2)), "{same:?}");
            let newer: UpdateFeaturesResponse = node.ask(57, version, &request("metadata.version", 99)).await;
            assert_eq!((newer.error_code, newer.results.len()), (95, 0));
            let message = newer.error_message.expect("it says why").to_string();
            assert!(message.ends_with("Local controller 1 only supports versions 7-33"), "{message}");
        }
        node.stop().await;
    }
}
