//! Whether the address that clients are told leads to this node: a wrong one is the most common reason why clients connect
//! once and then hang.

use crate::cli::client::{Client, ClientError, address};
use config::broker::Endpoint;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

/// How long the address may take to answer. Longer: the warning comes when nobody looks any more. Shorter: a busy machine is
/// warned of itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Dials `told` once, and warns where this node is not found there. Never returns.
pub(super) async fn warn_if_unreachable(told: Option<Endpoint>, cluster_id: String) -> Infallible {
    if let Some(told) = told
        && let Some(problem) = problem(&told, &cluster_id).await
    {
        tracing::warn!("{problem}");
    }
    pending().await
}

/// What is wrong with the address, in a sentence with its fix.
async fn problem(told: &Endpoint, cluster_id: &str) -> Option<String> {
    let address = address(&told.host, i32::from(told.port));
    let fix = "set advertised.listeners to an address that clients reach; behind NAT it may be reached from outside all the same";
    let reason = match Client::connect(&address, ANSWER_LIMIT).await {
        Ok(client) if client.cluster_id().is_none_or(|found| found == cluster_id) => return None,
        Ok(client) => {
            let other = client.cluster_id().unwrap_or_default();
            return Some(format!(
                "clients are told to connect to {address}, where cluster {other} answers: {fix}"
            ));
        }
        Err(ClientError::Unreachable { reason, .. }) => reason,
        Err(error) => error.to_string(),
    };
    Some(format!(
        "clients are told to connect to {address}, which this machine does not reach ({reason}): {fix}"
    ))
}

#[cfg(test)]
mod tests {
    use super::problem;
    use config::broker::Endpoint;

    #[tokio::test]
    async fn an_address_where_nobody_listens_is_named_with_its_fix() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let told = Endpoint { host: "127.0.0.1".to_owned(), port };
        let said = problem(&told, "cluster").await.unwrap_or_default();
        assert!(
            said.starts_with(&format!("clients are told to connect to 127.0.0.1:{port}, which this")),
            "{said}"
        );
        assert!(said.contains("refused") && said.contains("set advertised.listeners"), "{said}");
    }
}
