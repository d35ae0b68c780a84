//! A sorted map whose copies share what they have in common.
//!
//! The entries lie in sorted chunks behind `Arc`s. A copy of the map copies one pointer, the first change after that
//! copies the list of chunks, and every change copies at most one chunk: so an image with 100,000 topics can be
//! published after each created topic. The same sharing lets [`ChunkedMap::changes_since`] skip what two maps have in
//! common.
//!
//! Invariants: no chunk is empty; keys ascend within a chunk and from chunk to chunk.

use std::sync::Arc;

/// The most entries of a chunk; at one more it is split in two halves.
/// Larger: a change copies more entries. Smaller: a change copies a longer list of chunks.
const CHUNK_ENTRIES_MAX: usize = 128;

type Chunk<K, V> = Vec<(K, V)>;

/// A sorted map that is cheap to copy and to change after a copy. Keys and values should be cheap to clone.
#[derive(Debug)]
pub struct ChunkedMap<K, V> {
    chunks: Arc<Vec<Arc<Chunk<K, V>>>>,
    len: usize,
}

impl<K, V> Clone for ChunkedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K, V> Default for ChunkedMap<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::new(Vec::new()), len: 0 }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for ChunkedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && entries(&self.chunks).eq(entries(&other.chunks))
    }
}

impl<K: Eq, V: Eq> Eq for ChunkedMap<K, V> {}

/// How an entry of an older map appears in a newer one.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a, K, V> {
    /// The key is new.
    Added(&'a K, &'a V),
    /// The key is gone; with its last value.
    Removed(&'a K, &'a V),
    /// The key was there and may have another value: both, the old one first.
    Replaced(&'a K, &'a V, &'a V),
}

fn entries<K, V>(chunks: &[Arc<Chunk<K, V>>]) -> impl Iterator<Item = &(K, V)> {
    chunks.iter().flat_map(|chunk| chunk.iter())
}

impl<K: Ord + Clone, V: Clone> ChunkedMap<K, V> {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of `key`.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(key)?)?;
        let entry = chunk.binary_search_by(|(candidate, _)| candidate.borrow().cmp(key)).ok()?;
        chunk.get(entry).map(|(_, value)| value)
    }

    /// Every entry, by ascending key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        entries(&self.chunks).map(|(key, value)| (key, value))
    }

    /// The entries from `key` on, inclusive, by ascending key.
    pub fn iter_from<'a, Q: Ord + ?Sized>(
        &'a self,
        key: &Q,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V, Q>
    where
        K: std::borrow::Borrow<Q>,
    {
        let first_chunk = self.chunk_of(key).unwrap_or(0);
        let chunks = self.chunks.get(first_chunk..).unwrap_or_default();
        let skipped = chunks
            .first()
            .map_or(0, |chunk| chunk.partition_point(|(candidate, _)| candidate.borrow() < key));
        entries(chunks).skip(skipped).map(|(key, value)| (key, value))
    }

    /// Sets the value of `key` and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Arc::new(Vec::new()));
        }
        let at = chunk_index(chunks, &key).unwrap_or(0);
        let chunk = Arc::make_mut(chunks.get_mut(at).expect("the list of chunks is not empty"));
        match chunk.binary_search_by(|(candidate, _)| candidate.cmp(&key)) {
            Ok(entry) => chunk.get_mut(entry).map(|(_, old)| std::mem::replace(old, value)),
            Err(entry) => {
                chunk.insert(entry, (key, value));
                self.len += 1;
                if chunk.len() > CHUNK_ENTRIES_MAX {
                    let upper_half = chunk.split_off(CHUNK_ENTRIES_MAX / 2);
                    chunks.insert(at + 1, Arc::new(upper_half));
                }
                None
            }
        }
    }

    /// Removes `key` and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let at = self.chunk_of(key)?;
        let entry =
            self.chunks.get(at)?.binary_search_by(|(candidate, _)| candidate.borrow().cmp(key)).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(chunks.get_mut(at)?);
        let (_, value) = chunk.remove(entry);
        self.len -= 1;
        if chunk.is_empty() {
            chunks.remove(at);
        }
        Some(value)
    }

    /// What must change in `older` to make it this map, by ascending key. Chunks that both share are skipped, so equal
    /// entries are mostly left out, yet a [`Change::Replaced`] may hold two equal values.
    #[must_use]
    pub fn changes_since<'a>(&'a self, older: &'a Self) -> Vec<Change<'a, K, V>> {
        let mut changes = Vec::new();
        let (mut old, mut new) = (Cursor::new(&older.chunks), Cursor::new(&self.chunks));
        loop {
            if Cursor::skip_shared_chunk(&mut old, &mut new) {
                continue;
            }
            match (old.entry(), new.entry()) {
                (None, None) => return changes,
                (Some((key, value)), None) => {
                    changes.push(Change::Removed(key, value));
                    old.advance();
                }
                (None, Some((key, value))) => {
                    changes.push(Change::Added(key, value));
                    new.advance();
                }
                (Some((old_key, old_value)), Some((new_key, new_value))) => match old_key.cmp(new_key) {
                    std::cmp::Ordering::Less => {
                        changes.push(Change::Removed(old_key, old_value));
                        old.advance();
                    }
                    std::cmp::Ordering::Greater => {
                        changes.push(Change::Added(new_key, new_value));
                        new.advance();
                    }
                    std::cmp::Ordering::Equal => {
                        changes.push(Change::Replaced(new_key, old_value, new_value));
                        old.advance();
                        new.advance();
                    }
                },
            }
        }
    }

    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: std::borrow::Borrow<Q>,
    {
        chunk_index(&self.chunks, key)
    }
}

/// The chunk that holds `key` or would take it; `None` where there is no chunk.
fn chunk_index<K: Ord + std::borrow::Borrow<Q>, V, Q: Ord + ?Sized>(
    chunks: &[Arc<Chunk<K, V>>],
    key: &Q,
) -> Option<usize> {
    if chunks.is_empty() {
        return None;
    }
    let starts_at_or_below =
        chunks.partition_point(|chunk| chunk.first().is_none_or(|(first, _)| first.borrow() <= key));
    Some(starts_at_or_below.saturating_sub(1))
}

/// A position in a list of chunks.
struct Cursor<'a, K, V> {
    chunks: &'a [Arc<Chunk<K, V>>],
    entry: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn new(chunks: &'a [Arc<Chunk<K, V>>]) -> Self {
        Self { chunks, entry: 0 }
    }

    fn entry(&self) -> Option<(&'a K, &'a V)> {
        self.chunks.first()?.get(self.entry).map(|(key, value)| (key, value))
    }

    fn advance(&mut self) {
        self.entry += 1;
        if self.chunks.first().is_none_or(|chunk| self.entry >= chunk.len()) {
            self.next_chunk();
        }
    }

    fn next_chunk(&mut self) {
        self.chunks = self.chunks.get(1..).unwrap_or_default();
        self.entry = 0;
    }

    fn skip_shared_chunk(old: &mut Self, new: &mut Self) -> bool {
        let shared = old.entry == 0
            && new.entry == 0
            && matches!((old.chunks.first(), new.chunks.first()), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
        if shared {
            old.next_chunk();
            new.next_chunk();
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, ChunkedMap};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, u8),
        Remove(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => (0u16..800, any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
            1 => (0u16..800).prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..1500)
    }

    fn apply(map: &mut ChunkedMap<u16, u8>, model: &mut BTreeMap<u16, u8>, steps: &[Step]) {
        for step in steps {
            match *step {
                Step::Insert(key, value) => assert_eq!(map.insert(key, value), model.insert(key, value)),
                Step::Remove(key) => assert_eq!(map.remove(&key), model.remove(&key)),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn behaves_as_a_b_tree_map(steps in steps(), from in 0u16..900) {
            let (mut map, mut model) = (ChunkedMap::default(), BTreeMap::new());
            apply(&mut map, &mut model, &steps);
            prop_assert_eq!(map.len(), model.len());
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(map.iter_from(&from).eq(model.range(from..)));
            prop_assert!((0..800).all(|key| map.get(&key) == model.get(&key)));
        }

        #[test]
        fn changes_turn_the_older_map_into_the_newer(before in steps(), after in steps()) {
            let (mut map, mut model) = (ChunkedMap::default(), BTreeMap::new());
            apply(&mut map, &mut model, &before);
            let (older, mut replayed) = (map.clone(), model.clone());
            apply(&mut map, &mut model, &after);
            prop_assert!(older.iter().eq(replayed.iter()), "a change reached an older copy");
            for change in map.changes_since(&older) {
                match change {
                    Change::Added(key, value) => prop_assert_eq!(replayed.insert(*key, *value), None),
                    Change::Removed(key, value) => prop_assert_eq!(replayed.remove(key), Some(*value)),
                    Change::Replaced(key, old, new) => prop_assert_eq!(replayed.insert(*key, *new), Some(*old)),
                }
            }
            prop_assert_eq!(replayed, model);
        }
    }

    #[test]
    fn changes_skip_what_two_maps_share() {
        let mut map = ChunkedMap::default();
        for key in 0..10_000u32 {
            map.insert(key, ());
        }
        let older = map.clone();
        map.insert(5_000, ());
        assert!(map.changes_since(&older).len() <= super::CHUNK_ENTRIES_MAX);
    }
}
