//! How many files this process may open, and how many of them clients may take.
//!
//! Invariant: connections never take the share of the logs. A log that cannot open its next segment ends the node, so that a
//! flood of clients could, if it were not kept out before; so could a client that writes to very many partitions
//! (`busy_partitions`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside those of clients and logs: listeners, the HTTP listener's 64 connections, as many of peers that have not
/// said hello, the quorum's files, files that are written anew. Larger: fewer clients where the limit is low. Smaller: one
/// of those finds none left.
const OWN: u64 = 256;

/// Files of segments, which a node keeps open where it may. Larger: clients are kept out for segments that hardly anybody
/// reads. Smaller: they are opened and closed all the time.
const OF_LOGS_MAX: u64 = 4096;

/// Of the files of segments, a third is for those that are written to. Larger: fewer segments are kept open for readers.
/// Smaller: fewer partitions are written to at once where the limit is low.
const WRITERS_PART: u64 = 3;

/// Of the files that clients would have, one in so many is for segments that are written to, where that is more than a third of
/// those of logs and clients cannot have as many as they may anyway. Larger: where `max.connections` says no more than that there
/// is no limit, a client that writes to many partitions waits although there are files. Smaller: fewer clients.
const CLIENTS_PART: u64 = 4;

/// The most segments that are written to. Larger: their mappings, with those of segments that are read and of the allocator,
/// are more than `vm.max_map_count` lets a process have, 65,530 unless somebody raised it. Smaller: clients that write to more
/// partitions wait.
const WRITERS_MAX: u64 = 45_000;

/// With fewer a node does not start. Larger: a small machine is refused what would do. Smaller: the first hundred clients
/// find no room.
const LEAST: u64 = 512;

/// What a node with so many connections takes in all, at most.
pub(crate) fn wanted(connections: u64) -> u64 {
    connections.saturating_add(OWN + OF_LOGS_MAX)
}

/// The process may open too few files.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a process may open {limit} files here, and a node needs {LEAST} at least: start it after `ulimit -n {wanted}` \
     (systemd: LimitNOFILE={wanted})"
)]
pub struct TooFewFiles {
    limit: u64,
    wanted: u64,
}

/// What is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    limit: Option<u64>,
    /// The most connections of clients at once.
    pub(crate) of_clients: usize,
    /// The most segments that are kept open for reading.
    pub(crate) of_logs: usize,
    /// Segments that are written to, at least.
    of_writers_min: usize,
}

impl OpenFiles {
    /// Raises the soft limit, 1,024 in most shells, to the hard one (it is kept low for programs that use `select`), and
    /// shares out what that gives to a node with so many `connections`.
    ///
    /// # Errors
    /// [`TooFewFiles`] where a node cannot do with it.
    pub fn of_process(connections: i32) -> Result<Self, TooFewFiles> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let limit = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => maximum,
            Err(error) => {
                tracing::warn!("the limit of open files stays at {current:?}: {error}");
                current
            }
        };
        Self::share(limit, connections)
    }

    /// Shares out `limit` (`None`: there is none): half of what the node does not need itself goes to the logs, as far as
    /// they have use for it, the rest to clients; of a large rest that is too small for `connections`, partitions that are
    /// written to have a part.
    pub(crate) fn share(limit: Option<u64>, connections: i32) -> Result<Self, TooFewFiles> {
        let allowed = limit.unwrap_or(u64::MAX);
        let wanted = wanted(u64::try_from(connections).unwrap_or(0));
        if allowed < LEAST {
            return Err(TooFewFiles { limit: allowed, wanted });
        }
        let rest = allowed - OWN;
        let of_logs = OF_LOGS_MAX.min(rest / 2);
        let of_writers = of_logs / WRITERS_PART;
        let part_of_clients = match allowed < wanted {
            true => (rest.saturating_sub(OF_LOGS_MAX) / CLIENTS_PART).min(WRITERS_MAX),
            false => 0,
        };
        let from_clients = part_of_clients.saturating_sub(of_writers);
        let count = |files: u64| usize::try_from(files).unwrap_or(usize::MAX);
        Ok(Self {
            limit,
            of_clients: count((rest - of_logs).saturating_sub(from_clients)),
            of_logs: count(of_logs - of_writers),
            of_writers_min: count(of_writers + from_clients),
        })
    }

    /// The most segments that are written to, where there may be so many `connections`: their own share, and what clients
    /// leave of theirs.
    pub(crate) fn of_writers(&self, connections: i32) -> usize {
        let connections = usize::try_from(connections).unwrap_or(0);
        let left = self.of_clients.saturating_sub(connections);
        self.of_writers_min.saturating_add(left).min(writers_max())
    }

    /// Whether more files would let more segments be written to.
    pub(crate) fn writers_lack_files(&self, connections: i32) -> bool {
        self.of_writers(connections) < writers_max()
    }

    /// What to tell the operator where fewer than so many `connections` are possible.
    #[must_use]
    pub fn shortage(&self, connections: i32) -> Option<String> {
        let limit = self.limit?;
        let connections = u64::try_from(connections).unwrap_or(0);
        let (most, wanted) = (self.of_clients, wanted(connections));
        ((most as u64) < connections).then(|| {
            format!(
                "a process may open {limit} files here, so that {most} clients can connect instead of \
                 max.connections={connections}: start the node after `ulimit -Hn {wanted}` (systemd: LimitNOFILE={wanted}), \
                 or lower max.connections"
            )
        })
    }
}

fn writers_max() -> usize {
    usize::try_from(WRITERS_MAX).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{OpenFiles, wanted, writers_max};

    #[test]
    fn what_is_wanted_is_enough() {
        for connections in [1, 100, 10_000, i32::MAX] {
            let files = wanted(u64::from(connections.unsigned_abs()));
            let shared = OpenFiles::share(Some(files), connections).expect("there are enough");
            assert_eq!(shared.shortage(connections), None);
        }
        assert_eq!(OpenFiles::share(None, i32::MAX).expect("no limit").shortage(i32::MAX), None);
    }

    #[test]
    fn logs_and_clients_share_what_there_is() {
        let shared = OpenFiles::share(Some(1024), 10_000).expect("it is enough to start");
        assert_eq!((shared.of_logs, shared.of_writers(10_000), shared.of_clients), (256, 128, 384));
        assert_eq!(shared.of_writers(84), 428, "what clients leave");
        let plenty = OpenFiles::share(None, 10_000).expect("there is no limit");
        assert_eq!(plenty.of_writers(10_000), writers_max());
        assert!(shared.writers_lack_files(10_000) && !plenty.writers_lack_files(10_000));
        let said = shared.shortage(10_000).unwrap_or_default();
        assert!(said.contains("may open 1024 files") && said.contains("`ulimit -Hn 14352`"), "{said}");
        assert_eq!(shared.shortage(384), None);
    }

    #[test]
    fn partitions_are_written_to_also_where_clients_may_be_without_number() {
        let shared = |limit, connections| {
            let shared = OpenFiles::share(Some(limit), connections).expect("it is enough to start");
            (shared.of_writers(connections), shared.of_clients)
        };
        assert_eq!(shared(1_000_000, i32::MAX), (writers_max(), 995_648 - (writers_max() - 1365)));
        assert_eq!(shared(65_536, i32::MAX), (15_296, 61_184 - (15_296 - 1365)));
        assert_eq!(shared(4096, i32::MAX), (640, 1920), "where there are few it is a third of those of logs");
        assert_eq!(
            shared(wanted(10_000), 10_000),
            (1365, 10_000),
            "who has as many as are wanted has them for clients"
        );
        assert_eq!(shared(1_000_000, 10_000), (writers_max(), 995_648), "clients leave enough");
    }

    #[test]
    fn too_few_are_refused_with_the_fix() {
        let refused = OpenFiles::share(Some(64), 10_000).expect_err("too few");
        assert_eq!(
            refused.to_string(),
            "a process may open 64 files here, and a node needs 512 at least: start it after `ulimit -n 14352` \
             (systemd: LimitNOFILE=14352)"
        );
    }
}
