//! Connections that come in floods, stay without a word, or say one byte at a time.

use std::io::Write as _;
use std::net::TcpStream;

use anyhow::{Context as _, Result, ensure};
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection};
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;

use crate::{GROWTH_MAX, HOSTILE, LIMIT, Siege};

const IDLE: usize = 10_000;
/// DESIGN's promise of what an idle connection takes.
const IDLE_BYTES_MAX: u64 = 16 << 10;
const FLOOD: usize = 2_000;
const FLOODING_THREADS: usize = 4;
const SEATS: usize = 200;

fn open_all(bootstrap: &str, count: usize) -> Result<Vec<TcpStream>> {
    (0..count).map(|_| TcpStream::connect(bootstrap).context("connecting")).collect()
}

#[test]
fn ten_thousand_idle_connections_cost_little_each_and_keep_nobody_out() -> Result<()> {
    let settings = format!("max.connections={}", IDLE + 100);
    let Some(siege) = Siege::begin(&[&settings], 1000, IDLE)? else { return Ok(()) };
    let hello = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("idle"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    let mut idle = Vec::with_capacity(IDLE);
    for number in 0..IDLE {
        let mut connection = Connection::open_within(siege.node.bootstrap(), LIMIT)?;
        let answer = connection.call(3, &hello).with_context(|| format!("connection {number}"))?;
        ensure!(answer.error_code == 0, "connection {number} was answered {answer:?}");
        idle.push(connection);
    }
    wait_until(LIMIT, "all of them are counted", || Ok(siege.metric("ottla_connections")? >= IDLE as f64))?;
    siege.expect_service(&idle)?;
    siege.end(IDLE as u64 * IDLE_BYTES_MAX)
}

#[test]
fn idle_connections_are_closed_when_their_time_is_over() -> Result<()> {
    let Some(siege) = Siege::begin(&["connections.max.idle.ms=10000"], 1000, HOSTILE)? else { return Ok(()) };
    let idle = open_all(siege.node.bootstrap(), HOSTILE)?;
    siege.expect_service(&idle)?;
    wait_until(LIMIT, "they are gone", || Ok(siege.metric("ottla_connections")? <= 2.0))?;
    siege.expect_service(&idle)?;
    siege.end(GROWTH_MAX)
}

#[test]
fn flood_of_connections_that_come_and_go_holds_up_nobody() -> Result<()> {
    let Some(siege) = Siege::begin(&[], 1000, HOSTILE)? else { return Ok(()) };
    let flooding: Vec<_> = (0..FLOODING_THREADS)
        .map(|_| {
            let bootstrap = siege.node.bootstrap().to_owned();
            std::thread::spawn(move || open_and_drop(&bootstrap, FLOOD / FLOODING_THREADS))
        })
        .collect();
    siege.expect_service(&flooding)?;
    for thread in flooding {
        thread.join().map_err(|_panic| anyhow::anyhow!("a flood panicked"))??;
    }
    siege.expect_service(&())?;
    wait_until(LIMIT, "nothing is left of them", || Ok(siege.metric("ottla_connections")? <= 2.0))?;
    siege.end(GROWTH_MAX)
}

/// Every other one says something first that is no request.
fn open_and_drop(bootstrap: &str, count: usize) -> Result<()> {
    for number in 0..count {
        let mut stream = TcpStream::connect(bootstrap)?;
        if number % 2 == 0 {
            stream.write_all(&[0xff; 16])?;
        }
    }
    Ok(())
}

#[test]
fn flood_over_the_limit_is_turned_away_and_those_inside_go_on() -> Result<()> {
    let Some(siege) = Siege::begin(&[&format!("max.connections={SEATS}")], 1000, HOSTILE)? else {
        return Ok(());
    };
    let held = open_all(siege.node.bootstrap(), HOSTILE)?;
    let turned_away = (HOSTILE - SEATS) as f64;
    wait_until(LIMIT, "those over the limit are turned away", || {
        Ok(siege.metric("ottla_connections_refused_limit_total")? >= turned_away)
    })?;
    ensure!(siege.metric("ottla_connections")? <= SEATS as f64, "more are connected than may be");
    siege.bystander.goes_on()?;
    drop(held);
    wait_until(LIMIT, "there is room again", || Ok(siege.metric("ottla_connections")? <= 2.0))?;
    siege.expect_service(&())?;
    siege.end(GROWTH_MAX)
}

#[test]
fn requests_that_come_byte_by_byte_on_a_thousand_connections_hold_up_nobody() -> Result<()> {
    let Some(siege) = Siege::begin(&[], 1000, HOSTILE)? else { return Ok(()) };
    let mut slow = open_all(siege.node.bootstrap(), HOSTILE)?;
    let request = wire::frame(1, 9, &MetadataRequest::default().with_topics(None))?;
    let (body, last) = request.split_at(request.len() - 1);
    for (number, byte) in body.iter().enumerate() {
        for stream in &mut slow {
            stream.write_all(&[*byte])?;
        }
        if number == body.len() / 2 {
            siege.bystander.goes_on()?;
        }
    }
    siege.expect_service(&slow)?;
    // They are clients all the same: each is answered once its request is whole.
    for stream in &mut slow {
        stream.write_all(last)?;
    }
    for stream in slow {
        Connection::of(stream, LIMIT)?.receive_frame()?;
    }
    siege.end(GROWTH_MAX)
}

/// A node that may open 1,024 files, 384 of them for clients: without a share of their own its logs would find none left.
#[test]
fn flood_over_the_open_files_takes_none_from_the_logs() -> Result<()> {
    let Some(siege) = Siege::begin_with_open_files(1024, &["log.roll.ms=200"], 1000, HOSTILE)? else {
        return Ok(());
    };
    let said = siege.node.stderr();
    let shortage = said.lines().filter(|line| line.contains("may open 1024 files"));
    let shortage: Vec<&str> = shortage.collect();
    ensure!(shortage.len() == 1 && shortage[0].contains("instead of max.connections=10000"), "{said}");
    let held = open_all(siege.node.bootstrap(), HOSTILE)?;
    wait_until(LIMIT, "those over the limit are turned away", || {
        Ok(siege.metric("ottla_connections_refused_limit_total")? >= (HOSTILE - 384) as f64)
    })?;
    // Its records go into one segment after the other: each takes files, and a flush that opens a directory.
    for _ in 0..5 {
        siege.bystander.goes_on()?;
    }
    drop(held);
    siege.expect_service(&())?;
    siege.end(GROWTH_MAX)
}
