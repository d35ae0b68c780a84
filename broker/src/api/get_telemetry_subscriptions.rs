//! GetTelemetrySubscriptions (key 71, version 0): which metrics a client is to push, and how often (KIP-714).
//!
//! Told to clients where `ottla.client.metrics.enable` is set. Sums are asked for from their beginning on, not since the last
//! push, so that what is shown needs no memory of who pushed what. Source: `ClientMetricsManager`.

use super::RequestContext;
use crate::error_code;
use crate::telemetry::TelemetryError;
use kafka_protocol::messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};
use kafka_protocol::protocol::StrBytes;
use storage::compression::Codec;

/// What clients may compress with, the best first. Source: `ClientMetricsManager.SUPPORTED_COMPRESSION_TYPES`.
const CODECS: [Codec; 4] = [Codec::Zstd, Codec::Lz4, Codec::Gzip, Codec::Snappy];

pub(crate) async fn handle(
    context: RequestContext,
    request: GetTelemetrySubscriptionsRequest,
) -> GetTelemetrySubscriptionsResponse {
    let settings = context.broker.settings.load();
    let granted = match settings.broker.client_metrics_enable {
        true => context.broker.telemetry.get(&context, request.client_instance_id),
        false => Err(TelemetryError::SwitchedOff),
    };
    let response = GetTelemetrySubscriptionsResponse::default();
    match granted {
        Ok(granted) => response
            .with_client_instance_id(granted.instance_id)
            .with_subscription_id(granted.subscription_id)
            .with_accepted_compression_types(
                CODECS.iter().filter_map(|codec| i8::try_from(codec.number()).ok()).collect(),
            )
            .with_push_interval_ms(i32::try_from(granted.interval.as_millis()).unwrap_or(i32::MAX))
            .with_telemetry_max_bytes(settings.broker.telemetry_max_bytes)
            .with_delta_temporality(false)
            .with_requested_metrics(granted.metrics.into_iter().map(StrBytes::from_string).collect()),
        Err(error) => response.with_error_code(error_code::of_telemetry(error).code()),
    }
}
