//! One GET over HTTP: enough for metrics, and for the programs that read them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// The longest that an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The value of a metric without labels, as the node whose HTTP listener is at `address` tells it.
///
/// # Errors
/// When it tells none.
pub fn metric(address: &str, name: &str) -> Result<f64> {
    let text = get(address, "/metrics")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no metric {name}"))?.parse().context("a metric is a number")
}

/// The body of the answer to a GET of `path` at `address` (`host:port`).
///
/// # Errors
/// When there is none, or its status is not 200.
pub fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    // Version 1.0: the body ends where the connection does.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "GET {path}: {head}");
    Ok(body.to_owned())
}
