//! Groups as requests name them, and their coordinator while it begins.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId};
use kafka_protocol::protocol::StrBytes;

use crate::clock::{Stopwatch, pause};
use crate::connection::Connection;

/// How long the topic of offsets may take to be made and loaded.
const COORDINATOR_LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked for meanwhile. Larger rounds a figure up; smaller takes CPU from what is measured.
const COORDINATOR_STEP: Duration = Duration::from_millis(2);

/// A group's name as the messages have it.
pub(super) fn group_id(name: &str) -> GroupId {
    GroupId(StrBytes::from_string(name.to_owned()))
}

/// Whether the coordinator is only about to begin. Waits a little if so.
pub(super) fn is_beginning(error: ResponseError) -> bool {
    let is_beginning = matches!(
        error,
        ResponseError::CoordinatorLoadInProgress
            | ResponseError::CoordinatorNotAvailable
            | ResponseError::NotCoordinator
    );
    if is_beginning {
        pause(COORDINATOR_STEP);
    }
    is_beginning
}

/// Waits until the broker has made its topic of offsets, and coordinates `group`.
pub(super) fn wait_for_coordinator(address: SocketAddr, group: &str) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let keys = vec![StrBytes::from_string(group.to_owned())];
    let request = FindCoordinatorRequest::default().with_coordinator_keys(keys);
    let started = Stopwatch::start();
    loop {
        let response = connection.call(4, &request)?;
        if response.coordinators.first().is_some_and(|coordinator| coordinator.error_code == 0) {
            return Ok(());
        }
        if started.elapsed() > COORDINATOR_LIMIT {
            bail!("no coordinator within {COORDINATOR_LIMIT:?}: {response:?}");
        }
        pause(COORDINATOR_STEP);
    }
}
