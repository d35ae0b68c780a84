//! aiokafka (asynchronous Python): what every client must be able to do.

use anyhow::Result;
use client_tests::driver::{Driver, PythonClient};
use client_tests::scenario;
use client_tests::target::Target;

fn with_client(claim: impl FnOnce(&mut Driver) -> Result<()>) -> Result<()> {
    let target = Target::start()?;
    let Some(mut client) = Driver::python(PythonClient::Aiokafka, target.bootstrap())? else { return Ok(()) };
    claim(&mut client)
}

#[test]
fn every_codec_comes_back() -> Result<()> {
    with_client(scenario::every_codec_comes_back)
}

#[test]
fn every_acks_comes_back() -> Result<()> {
    with_client(scenario::every_acks_comes_back)
}

#[test]
fn consuming_starts_in_the_middle_of_a_batch() -> Result<()> {
    with_client(scenario::consuming_starts_in_the_middle_of_a_batch)
}

#[test]
fn consuming_starts_at_a_timestamp() -> Result<()> {
    with_client(scenario::consuming_starts_at_a_timestamp)
}

#[test]
fn consuming_crosses_segments() -> Result<()> {
    with_client(scenario::consuming_crosses_segments)
}

#[test]
fn deleted_topic_begins_anew() -> Result<()> {
    with_client(scenario::deleted_topic_begins_anew)
}
