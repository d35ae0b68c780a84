//! Commits ever higher offsets for a group without members, and asks what is committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::librdkafka::Target;
use super::{Observations, Worker};
use crate::group::admin::{commit, commit_request, committed_offset};
use crate::history::Operation;
use crate::history::content::Place;
use crate::replica_set::roles;
use crate::wait::let_pass;
use crate::wire::Connection;

/// The time between two commits.
const STEP: Duration = Duration::from_millis(50);
/// The longest that a node may take for an answer before another is asked.
const LIMIT: Duration = Duration::from_millis(1_500);

/// A thread that commits.
#[derive(Debug)]
pub struct Committer(Worker);

impl Committer {
    /// Begins to commit to the first partition of the target's topic.
    #[must_use]
    pub fn start(target: &Target, group: &str, into: &Arc<Observations>) -> Committer {
        let (target, into) = (target.clone(), Arc::clone(into));
        let group: Arc<str> = group.into();
        Committer(Worker::start(move |stop: &AtomicBool| {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                for address in target.bootstrap.split(',') {
                    if commit_until_refused(address, &target, &group, &into, stop, &mut next).is_err() {
                        let_pass(STEP);
                    }
                }
            }
            Ok(())
        }))
    }

    /// Stops committing.
    ///
    /// # Errors
    /// When the thread failed.
    pub fn finish(&mut self) -> Result<()> {
        self.0.finish()
    }
}

fn commit_until_refused(
    address: &str,
    target: &Target,
    group: &Arc<str>,
    into: &Observations,
    stop: &AtomicBool,
    next: &mut i64,
) -> Result<()> {
    let coordinator = roles::coordinator(address, group)?;
    let cluster = roles::view(&mut Connection::open_within(address, LIMIT)?, Some(&target.topic))?;
    let address = cluster.addresses.get(&coordinator).context("the coordinator has no address")?;
    let mut connection = Connection::open_within(address, LIMIT)?;
    let place = Place::new(&target.topic, 0);
    while !stop.load(Ordering::Relaxed) {
        let began = into.history.now();
        let offset = committed_offset(&mut connection, group, &place.topic, place.partition)?;
        let committed = Operation::Committed { group: Arc::clone(group), place: place.clone(), offset };
        into.history.add(began, committed);
        *next += 1;
        let began = into.history.now();
        let request = commit_request(group, &place.topic, place.partition, *next);
        let code = commit(&mut connection, 9, &request)?;
        ensure!(code == 0, "the commit was answered with {code}");
        let committed = Operation::Commit { group: Arc::clone(group), place: place.clone(), offset: *next };
        into.history.add(began, committed);
        let_pass(STEP);
    }
    Ok(())
}
