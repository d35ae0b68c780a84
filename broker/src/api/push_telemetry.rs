//! PushTelemetry (key 72, version 0): takes in the metrics of a client (KIP-714), which `/metrics` then shows.
//!
//! Told to clients where `ottla.client.metrics.enable` is set. What is larger than `telemetry.max.bytes` is refused as it is,
//! and what is more than that, or than 1 MiB, once it is decompressed is an INVALID_RECORD. Source: `ClientMetricsManager`.

use super::RequestContext;
use crate::error_code;
use crate::telemetry::{Push, TelemetryError};
use kafka_protocol::messages::{PushTelemetryRequest, PushTelemetryResponse};
use storage::compression::Codec;

pub(crate) async fn handle(context: RequestContext, request: PushTelemetryRequest) -> PushTelemetryResponse {
    let pushed = push(&context, request).await;
    PushTelemetryResponse::default()
        .with_error_code(pushed.err().map_or(0, |error| error_code::of_telemetry(error).code()))
}

async fn push(context: &RequestContext, request: PushTelemetryRequest) -> Result<(), TelemetryError> {
    let settings = context.broker.settings.load();
    if !settings.broker.client_metrics_enable {
        return Err(TelemetryError::SwitchedOff);
    }
    let bytes_max = usize::try_from(settings.broker.telemetry_max_bytes).unwrap_or(0);
    let codec = Codec::from_number(i16::from(request.compression_type));
    let push = Push {
        instance_id: request.client_instance_id,
        subscription_id: request.subscription_id,
        is_terminating: request.terminating,
        is_compression_known: codec.is_some(),
        is_too_large: request.metrics.len() > bytes_max,
    };
    let broker = &context.broker;
    let left_out = broker.telemetry.push(context, push, codec, request.metrics, bytes_max).await?;
    broker.metrics.client_metrics_left_out.increment(left_out as u64);
    broker.metrics.client_metrics_pushes.increment(1);
    Ok(())
}

#[cfg(test)]
mod tests;
