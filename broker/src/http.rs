//! The HTTP listener: health for probes, metrics for Prometheus. It reads, and changes nothing.

mod limited;

use crate::broker::Broker;
use crate::clock;
use crate::metrics::exporter;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::Mutex;

pub(crate) use limited::{CONNECTIONS_MAX, LimitedListener};

/// The health of a node, as `/health` says it.
#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    node_id: i32,
    cluster_id: String,
    version: &'static str,
    /// Its clock, in milliseconds since 1970, so that clocks can be compared.
    time_ms: i64,
}

#[derive(Clone)]
struct Shared {
    broker: Arc<Broker>,
    prometheus: PrometheusHandle,
    /// One answer of metrics is made at a time, since it can be tens of megabytes.
    scrape: Arc<Mutex<()>>,
}

/// The routes of the HTTP listener.
pub fn routes(broker: Arc<Broker>, prometheus: PrometheusHandle) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(Shared { broker, prometheus, scrape: Arc::default() })
}

async fn index() -> &'static str {
    concat!(
        "Ottla ",
        env!("CARGO_PKG_VERSION"),
        "\n\n/health   whether this node serves\n/metrics  for Prometheus\n"
    )
}

async fn health(State(shared): State<Shared>) -> impl IntoResponse {
    let (code, status) = match () {
        () if shared.broker.has_failed() => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
        // It runs, and serves nobody until a majority of the set answers it.
        () if shared.broker.quorum.is_isolated() => (StatusCode::SERVICE_UNAVAILABLE, "isolated"),
        () => (StatusCode::OK, "ok"),
    };
    let health = Health {
        status,
        node_id: shared.broker.node_id().0,
        cluster_id: shared.broker.cluster_id(),
        version: env!("CARGO_PKG_VERSION"),
        time_ms: clock::now().0,
    };
    (code, Json(health))
}

async fn metrics(State(shared): State<Shared>) -> Result<impl IntoResponse, StatusCode> {
    let _turn = shared.scrape.lock().await;
    let broker = Arc::clone(&shared.broker);
    let gathered = tokio::task::spawn_blocking(move || {
        let exporter = exporter::gather(&broker);
        broker.metrics.left_out.set(exporter.left_out() as f64);
        exporter.render() + &broker.telemetry.render()
    });
    let of_topics_groups_and_clients = gathered.await.map_err(|_stopping| StatusCode::SERVICE_UNAVAILABLE)?;
    shared.broker.update_gauges();
    shared.prometheus.run_upkeep();
    let text = shared.prometheus.render() + &of_topics_groups_and_clients;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
