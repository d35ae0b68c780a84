//! ApiVersions (key 18, versions 0–5): what this node serves.
//!
//! A version that is not served is answered in version 0 with error 35 and the range of ApiVersions itself, so that a
//! newer client can ask again; never by closing the connection. The response header is always version 0, since the
//! client cannot know our versions yet. Source: KIP-511, KIP-584, KIP-1242 (version 5), `KafkaApis.handleApiVersionsRequest`.

use super::{API_VERSIONS_KEY, APIS, Api, Outcome, PendingOutcome, Reply, RequestContext};
use crate::wire::api_versions_request::ApiVersionsRequest;
use crate::wire::request_header::RequestPrefix;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::protocol::StrBytes;
use replication::controller::features::SUPPORTED_LEVELS;

/// The first version whose response names features, and whose request names the client's software.
const FEATURES_SINCE: i16 = 3;

/// The first version whose clients understand a feature that may be absent: below, supported features whose lowest level
/// is 0 are left out. Source: KIP-1022.
const OPTIONAL_FEATURES_SINCE: i16 = 4;

/// Longest name or version that a client may give its software; both become labels of a log line.
const SOFTWARE_TEXT_MAX: usize = 256;

pub(crate) async fn handle(context: RequestContext, request: ApiVersionsRequest) -> ApiVersionsReply {
    let error = judge(&context, &request).err();
    let image = context.broker.image();
    let mut response = ApiVersionsResponse::default()
        .with_error_code(error.map_or(0, |error| error.code()))
        .with_api_keys(APIS.iter().filter(|api| context.broker.serves(api)).map(advertised).collect());
    if error.is_none() {
        let [name, version] = [&request.client_software_name, &request.client_software_version];
        context.software.set(name, version);
    }
    if context.version >= FEATURES_SINCE {
        let name = |name: &str| StrBytes::from_string(name.to_owned());
        response.supported_features = SUPPORTED_LEVELS
            .iter()
            .filter(|(_, min, _)| *min > 0 || context.version >= OPTIONAL_FEATURES_SINCE)
            .map(|(feature, min, max)| {
                let supported = SupportedFeatureKey::default().with_name(name(feature));
                supported.with_min_version(*min).with_max_version(*max)
            })
            .collect();
        response.finalized_features_epoch = image.offset();
        response.finalized_features = image
            .features()
            .iter()
            .map(|(feature, level)| {
                let finalized = FinalizedFeatureKey::default().with_name(name(feature));
                finalized.with_min_version_level(*level).with_max_version_level(*level)
            })
            .collect();
    }
    ApiVersionsReply(response)
}

/// The answer to a version that is not served.
pub(crate) fn answer_unsupported(prefix: RequestPrefix) -> PendingOutcome {
    let own_range = APIS.iter().filter(|api| api.key == API_VERSIONS_KEY).map(advertised).collect();
    let response = ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(own_range);
    Box::pin(async move { ApiVersionsReply(response).into_outcome(prefix, 0) })
}

/// The response; its body below version 5 is the crate's.
pub(crate) struct ApiVersionsReply(pub(crate) ApiVersionsResponse);

impl Reply for ApiVersionsReply {
    fn into_outcome(
        self,
        prefix: RequestPrefix,
        schema_version: i16,
    ) -> Result<Outcome, crate::wire::response::EncodeError> {
        // Version 5 differs in the request alone.
        self.0.into_outcome(prefix, schema_version.min(4))
    }
}

fn advertised(api: &Api) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api.key)
        .with_min_version(api.advertised_min)
        .with_max_version(api.version_max)
}

fn judge(context: &RequestContext, request: &ApiVersionsRequest) -> Result<(), ResponseError> {
    if context.version >= FEATURES_SINCE
        && !(is_software_text(&request.client_software_name)
            && is_software_text(&request.client_software_version))
    {
        return Err(ResponseError::InvalidRequest);
    }
    let image = context.broker.image();
    let other_cluster =
        request.cluster_id.as_ref().is_some_and(|cluster_id| Some(cluster_id.as_str()) != image.cluster_id());
    let other_node = request.node_id >= 0 && request.node_id != context.broker.node_id().0;
    if other_cluster || other_node {
        return Err(ResponseError::RebootstrapRequired);
    }
    Ok(())
}

/// Whether `text` fits `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`. Source: KIP-511.
fn is_software_text(text: &str) -> bool {
    let is_edge =
        |character: Option<char>| character.is_some_and(|character| character.is_ascii_alphanumeric());
    text.len() <= SOFTWARE_TEXT_MAX
        && is_edge(text.chars().next())
        && is_edge(text.chars().next_back())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::is_software_text;

    #[test]
    fn software_text_is_what_kip_511_allows() {
        for text in ["librdkafka", "2.16.1", "apache-kafka-java", "a"] {
            assert!(is_software_text(text), "{text}");
        }
        for text in ["", "-a", "a-", "a b", ".1", "name\n", "ü"] {
            assert!(!is_software_text(text), "{text}");
        }
    }
}
