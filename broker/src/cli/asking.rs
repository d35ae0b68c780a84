//! What the commands that ask a cluster have in common: the arguments, the time that they may take, and how what a
//! broker refuses becomes a sentence.

use super::Form;
use super::client::{self, Client, ClientError};
use anyhow::{anyhow, bail};
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;
use std::time::Duration;

/// What the commands that ask a cluster take: which, and how the answer is shown.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster and output")]
pub struct ClusterArguments {
    /// Brokers to begin with, comma-separated; without a port, 9092 is meant.
    #[arg(long, short, visible_alias = "bootstrap-server", global = true, default_value = "localhost:9092",
        value_name = "HOST:PORT", value_parser = client::bootstrap)]
    pub bootstrap: String,
    /// How long the command may take; of `produce` and `consume`, how long the brokers may take for one answer.
    #[arg(long, global = true, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// The form of the output.
    #[arg(long, global = true, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

impl ClusterArguments {
    /// How long the command, or one answer, may take.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// How long requests give the brokers: somewhat less, so that one that cannot do it in time is still heard to say so.
    pub(super) fn limit_ms(&self) -> i32 {
        i32::try_from(self.limit().as_millis() / 5 * 4).unwrap_or(i32::MAX)
    }

    /// A client of the cluster.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.bootstrap, self.limit()).await?)
    }

    /// What `act` answers, if it does so in time.
    pub(super) async fn within_limit<T>(
        &self,
        client: &mut Client,
        act: impl AsyncFnOnce(&mut Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        match tokio::time::timeout(self.limit(), act(client)).await {
            Ok(answer) => answer,
            Err(_elapsed) => bail!("not done within {} s: {}", self.timeout, client.trouble()),
        }
    }
}

/// Connects, and runs a command for no longer than it may take.
pub(super) fn ask<T>(
    cluster: &ClusterArguments,
    act: impl AsyncFnOnce(&mut Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    runtime()?.block_on(async {
        let mut client = cluster.connect().await?;
        cluster.within_limit(&mut client, act).await
    })
}

/// What a command runs on: one thread, since one request is under way at a time.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// An answer for scripts.
pub(super) fn json(answer: &impl Serialize) -> anyhow::Result<String> {
    Ok(format!("{:#}\n", serde_json::to_value(answer)?))
}

/// An error code as an error, if it is one: in the broker's own words where it has any.
pub(super) fn refusal(what: &str, code: i16, message: Option<&StrBytes>) -> Option<anyhow::Error> {
    let error = ResponseError::try_from_code(code)?;
    Some(match message.map(StrBytes::as_str).filter(|message| !message.is_empty()) {
        Some(message) => anyhow!("{what}: {}", message.trim_end_matches('.')),
        None => ClientError::Refused { what: what.to_owned(), error }.into(),
    })
}

/// The error of one of several, which says what was done to those before it.
pub(super) fn after(error: anyhow::Error, verb: &str, before: &[&str]) -> anyhow::Error {
    match before {
        [] => error,
        names => error.context(format!("{verb} {}, but not the next", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use kafka_protocol::protocol::StrBytes;

    #[test]
    fn a_broker_that_gives_a_reason_is_quoted() {
        let said = |code, message: &'static str| {
            let message = StrBytes::from_static_str(message);
            refusal("events", code, Some(&message)).map(|error| error.to_string())
        };
        assert_eq!(said(0, "ignored"), None);
        assert_eq!(
            said(37, "Topic already has 3 partitions.").as_deref(),
            Some("events: Topic already has 3 partitions")
        );
        assert!(said(37, "").is_some_and(|it| it.starts_with("events: ")));
    }
}
