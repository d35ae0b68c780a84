//! Whether nodes are healthy by their own account, and how far their clocks are apart.

use super::{Checked, Findings};
use crate::clock;
use anyhow::{Context, ensure};
use serde::Deserialize;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a node may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Clocks may differ so far. Larger: records of different nodes appear in the wrong order unnoticed. Smaller: machines with a
/// healthy NTP are complained about.
const DIFFERENCE_MAX_MS: i64 = 500;

/// What a node says of itself.
#[derive(Debug, Deserialize)]
struct Health {
    status: String,
    node_id: i32,
    time_ms: Option<i64>,
}

/// How far a node's clock is ahead of this machine's, and how exactly that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Difference {
    ahead_ms: i64,
    uncertainty_ms: i64,
}

impl Difference {
    /// From when the node was asked, what it answered, and when the answer was there.
    fn measured(asked_ms: i64, told_ms: i64, answered_ms: i64) -> Self {
        let middle_ms = asked_ms + (answered_ms - asked_ms) / 2;
        Self { ahead_ms: told_ms - middle_ms, uncertainty_ms: (answered_ms - asked_ms) / 2 + 1 }
    }

    fn is_too_large(self) -> bool {
        self.ahead_ms.abs() - self.uncertainty_ms > DIFFERENCE_MAX_MS
    }
}

/// Asks each of `addresses`. One that nobody asked for in so many words may be silent.
pub(super) async fn look(addresses: &[String], are_named: bool, findings: &mut Findings) {
    for address in addresses {
        let asked_ms = clock::now().0;
        let answer = timeout(ANSWER_LIMIT, health(address)).await;
        let answered_ms = clock::now().0;
        let health = match answer {
            Ok(Ok(health)) => health,
            Ok(Err(error)) if are_named => {
                findings.check(Err(format!(
                    "Nothing says at http://{address}/health how the node is: {error:#}."
                )));
                continue;
            }
            Err(_elapsed) if are_named => {
                findings.check(Err(format!(
                    "Nothing answers at http://{address}/health: is a firewall in between?"
                )));
                continue;
            }
            Ok(Err(_)) | Err(_) => {
                findings.note(format!("No node answers at http://{address}/health, so its clock is not compared; --http names another address."));
                continue;
            }
        };
        findings.check(healthy(&health, address));
        if let Some(told_ms) = health.time_ms {
            findings.check(clock_of(health.node_id, Difference::measured(asked_ms, told_ms, answered_ms)));
        }
    }
}

fn healthy(health: &Health, address: &str) -> Checked {
    let Health { status, node_id, .. } = health;
    match status.as_str() {
        "ok" => Ok(format!("Node {node_id} serves, by its own account (http://{address}/health).")),
        "isolated" => Err(format!(
            "Node {node_id} is isolated: no controller answers it, so it serves nothing; see that it reaches the other nodes at the \
             addresses in ottla.replica.set."
        )),
        "failed" => {
            Err(format!("Node {node_id} has failed: its log says why; check the disk and start it again."))
        }
        other => Err(format!("Node {node_id} says of itself that it is {other}; its log says why.")),
    }
}

fn clock_of(node_id: i32, difference: Difference) -> Checked {
    let Difference { ahead_ms, .. } = difference;
    let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let seconds = Duration::from_millis(ahead_ms.unsigned_abs()).as_secs_f64();
    match difference.is_too_large() {
        true => Err(format!(
            "The clock of node {node_id} is {seconds:.1} s {way} this machine's: let both follow NTP, since times of records and \
             retention follow the node's clock."
        )),
        false => Ok(format!("The clocks of node {node_id} and of this machine are {seconds:.1} s apart.")),
    }
}

async fn health(address: &str) -> anyhow::Result<Health> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    let is_health = head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 503");
    // The Kafka port of a node answers so as well, and says where to ask.
    let said = body.lines().next().unwrap_or_default().trim_end_matches('.');
    ensure!(is_health || !said.contains("speaks Kafka"), "{said}");
    ensure!(is_health, "the answer is no node's");
    serde_json::from_str(body).context("the answer is no node's")
}

#[cfg(test)]
mod tests {
    use super::{Difference, Health, clock_of, healthy};

    #[test]
    fn a_difference_that_the_way_there_may_explain_is_none() {
        assert!(!Difference::measured(1000, 1450, 1002).is_too_large());
        assert!(Difference::measured(1000, 1600, 1002).is_too_large());
        assert!(!Difference::measured(1000, 2600, 3000).is_too_large(), "the answer took two seconds");
        let said = clock_of(3, Difference::measured(10_000, 7_400, 10_000)).unwrap_err();
        assert!(
            said.starts_with("The clock of node 3 is 2.6 s behind this machine's: let both follow NTP"),
            "{said}"
        );
    }

    #[test]
    fn a_node_that_does_not_serve_says_why() {
        let health = |status: &str| Health { status: status.to_owned(), node_id: 1, time_ms: None };
        let judged = |status: &str| healthy(&health(status), "localhost:9080");
        assert!(judged("ok").is_ok_and(|it| it.contains("http://localhost:9080/health")));
        assert!(judged("isolated").is_err_and(|it| it.contains("no controller answers it")));
        assert!(judged("failed").is_err_and(|it| it.contains("check the disk")));
    }
}
