//! A thousand requests that are begun and not finished: they hold what was sent of them, and never what they announced.

use std::io::Write as _;
use std::net::TcpStream;

use anyhow::Result;
use client_tests::wait::wait_until;
use kafka_protocol::messages::ApiKey;

use crate::{GROWTH_MAX, HOSTILE, LIMIT, Siege};

/// Requests beside them that are too large for a share of their own.
const LARGE_VALUE: usize = 300_000;

/// The beginning of a Produce request that announces `announced` bytes, of which `sent` are there.
fn half_sent(announced: i32, sent: usize) -> Vec<u8> {
    let mut bytes = announced.to_be_bytes().to_vec();
    bytes.extend((ApiKey::Produce as i16).to_be_bytes());
    bytes.extend([0, 9, 0, 0, 0, 1]);
    bytes.resize(4 + sent, 0);
    bytes
}

/// Sends the same to a thousand connections, which stay open; how much of it the broker takes is for it to say.
fn besiege(siege: &Siege, beginnings: &[Vec<u8>]) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(HOSTILE);
    for beginning in beginnings.iter().cycle().take(HOSTILE) {
        let mut stream = TcpStream::connect(siege.node.bootstrap())?;
        stream.set_nonblocking(true)?;
        // As much as the buffers of the system take at once.
        let mut rest = beginning.as_slice();
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        streams.push(stream);
    }
    wait_until(LIMIT, "all of them have begun", || {
        let begun = siege.metric("ottla_requests_in_flight")?;
        Ok(begun + siege.metric("ottla_connections_refused_input_total")? >= HOSTILE as f64)
    })?;
    Ok(streams)
}

#[test]
fn announced_requests_keep_neither_small_ones_nor_large_ones_from_being_served() -> Result<()> {
    for value_size in [100, LARGE_VALUE] {
        let Some(siege) = Siege::begin(&[], value_size, HOSTILE)? else { return Ok(()) };
        let beginnings = [half_sent(60_000, 100), half_sent(1 << 20, 100), half_sent(100 << 20, 100)];
        let held = besiege(&siege, &beginnings)?;
        siege.expect_service(&held)?;
        siege.end(GROWTH_MAX)?;
    }
    Ok(())
}

#[test]
fn half_sent_requests_are_held_up_before_they_fill_the_memory() -> Result<()> {
    let Some(siege) = Siege::begin(&[], 100, HOSTILE)? else { return Ok(()) };
    // Half of each: some 270 MB in all, far more than may be held.
    let held = besiege(&siege, &[half_sent(1 << 20, 1 << 19), half_sent(64 << 10, 32 << 10)])?;
    siege.expect_service(&held)?;
    siege.end(GROWTH_MAX)
}
