//! Which chunks of a snapshot of the leader may be passed on.
//!
//! openraft writes a chunk wherever it says that it begins, and makes room for everything before it. Here a chunk begins a
//! snapshot or continues what is there, and a snapshot has a largest size.

/// The largest snapshot, in bytes. Larger: a peer gone mad takes more memory. Smaller: the metadata of the largest clusters,
/// some 100 MiB, does not fit.
const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How far the snapshot came that is being received.
#[derive(Debug, Default)]
pub(super) struct SnapshotChunks {
    snapshot_id: String,
    end: u64,
}

impl SnapshotChunks {
    /// Whether a chunk of `length` bytes may be passed on; takes note of it if so.
    pub(super) fn take(&mut self, snapshot_id: &str, offset: u64, length: usize) -> bool {
        let known = if self.snapshot_id == snapshot_id { self.end } else { 0 };
        let end = offset.saturating_add(length as u64);
        if offset > known || end > SNAPSHOT_BYTES_MAX {
            return false;
        }
        *self = Self { snapshot_id: snapshot_id.to_owned(), end };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{SNAPSHOT_BYTES_MAX, SnapshotChunks};

    #[test]
    fn a_chunk_begins_a_snapshot_or_continues_it() {
        let mut chunks = SnapshotChunks::default();
        assert!(!chunks.take("a", 1, 10), "nothing is there");
        assert!(chunks.take("a", 0, 10) && chunks.take("a", 10, 10));
        assert!(chunks.take("a", 10, 10), "it is sent once more");
        assert!(!chunks.take("a", 21, 1) && !chunks.take("a", u64::MAX, 10), "it leaves a gap");
        assert!(!chunks.take("b", 20, 10), "another one begins at its beginning");
        assert!(chunks.take("b", 0, 10) && !chunks.take("a", 20, 10));
    }

    #[test]
    fn a_snapshot_does_not_grow_without_end() {
        let mut chunks = SnapshotChunks { snapshot_id: "a".to_owned(), end: SNAPSHOT_BYTES_MAX };
        assert!(!chunks.take("a", SNAPSHOT_BYTES_MAX, 1));
        assert!(chunks.take("a", SNAPSHOT_BYTES_MAX - 1, 1));
    }
}
