//! The newest offset of each key, in memory that was decided beforehand.
//!
//! A key is known by 128 bits of two hashes (SipHash), each keyed with a random number of its own that nobody else knows and
//! that is new in every round. Two keys that hash the same would cost a record; with as many keys as 128 MiB hold, the
//! odds of that in a round are below 10^-25, less than those of a disk that returns wrong bytes with a right checksum, and
//! nobody can choose keys to better them, as they could with Kafka's MD5.
//!
//! ```text
//! slot: u64 first hash, u64 second hash, u64 offset + 1 (0: free)        24 bytes, as in SkimpyOffsetMap.java
//! ```
//! Slots are probed one after the other; there is always a free one, so that every search ends. Absent: removal.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::ids::Offset;

/// Bytes of a slot.
const SLOT_BYTES: usize = 24;

type Slot = [u64; 3];

/// The newest offset of each key.
pub(super) struct KeyMap {
    slots: Vec<Slot>,
    len: usize,
    len_max: usize,
    hashers: [RandomState; 2],
}

/// There is no room for another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl KeyMap {
    /// A map that takes at most `bytes`, and at most what `record_count_max` keys need. It fills to `load_factor`: a larger
    /// one makes searches longer, a smaller one wastes memory.
    pub(super) fn new(bytes: usize, load_factor: f64, record_count_max: u64) -> Self {
        let load_factor = load_factor.clamp(0.1, 0.99);
        let wanted = (record_count_max as f64 / load_factor).ceil() as usize;
        let slot_count = (bytes / SLOT_BYTES).min(wanted.saturating_add(1)).max(2);
        let len_max = ((slot_count as f64 * load_factor) as usize).clamp(1, slot_count - 1);
        let hashers = [RandomState::new(), RandomState::new()];
        Self { slots: vec![[0; 3]; slot_count], len: 0, len_max, hashers }
    }

    /// Notes that the record at `offset` has `key`. Offsets are put in their order.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), Full> {
        let hashes = self.hashes(key);
        let index = self.find(hashes);
        let is_full = self.len == self.len_max;
        let slot = self.slots.get_mut(index).expect("a search ends within the slots");
        let [_, _, stored] = *slot;
        if stored == 0 {
            if is_full {
                return Err(Full);
            }
            self.len += 1;
        }
        let [first, second] = hashes;
        *slot = [first, second, offset.0 as u64 + 1];
        Ok(())
    }

    /// The newest offset of `key`, or `None` where it was not put.
    pub(super) fn newest(&self, key: &[u8]) -> Option<Offset> {
        let [_, _, stored] = *self.slots.get(self.find(self.hashes(key)))?;
        stored.checked_sub(1).map(|offset| Offset(offset as i64))
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn hashes(&self, key: &[u8]) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| {
            let mut hasher = hasher.build_hasher();
            hasher.write(key);
            hasher.finish()
        })
    }

    /// The slot of these hashes, or the free one where they belong.
    fn find(&self, hashes: [u64; 2]) -> usize {
        let [first, second] = hashes;
        let slot_count = self.slots.len();
        let mut index = ((u128::from(first) * slot_count as u128) >> 64) as usize;
        loop {
            match self.slots.get(index) {
                Some([_, _, 0]) => return index,
                Some([a, b, _]) if *a == first && *b == second => return index,
                Some(_) => index += 1,
                None => index = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Full, KeyMap};
    use crate::ids::Offset;

    #[test]
    fn map_answers_the_last_offset_that_was_put_for_each_key() {
        let mut map = KeyMap::new(1 << 20, 0.9, 5000);
        let mut model = BTreeMap::new();
        for offset in 0..5000_i64 {
            let key = (offset * offset % 911).to_be_bytes();
            map.put(&key, Offset(offset)).unwrap();
            model.insert(key, Offset(offset));
        }
        assert_eq!(map.len(), model.len());
        assert!(model.iter().all(|(key, offset)| map.newest(key) == Some(*offset)));
        assert_eq!(map.newest(b"never put"), None);
        assert_eq!(map.newest(b""), None);
    }

    #[test]
    fn full_map_takes_known_keys_and_refuses_others() {
        let mut map = KeyMap::new(24 * 10, 0.9, u64::MAX);
        for key in 0..9_u8 {
            map.put(&[key], Offset(i64::from(key))).unwrap();
        }
        assert_eq!(map.put(b"tenth", Offset(9)), Err(Full));
        assert_eq!(map.put(&[3], Offset(10)), Ok(()));
        assert_eq!((map.newest(&[3]), map.newest(b"tenth")), (Some(Offset(10)), None));
    }

    #[test]
    fn smallest_map_has_room_for_one_key() {
        let mut map = KeyMap::new(0, 0.5, 0);
        assert_eq!((map.put(b"a", Offset(0)), map.put(b"b", Offset(1))), (Ok(()), Err(Full)));
        assert_eq!(map.newest(b"a"), Some(Offset(0)), "offset 0 is an offset");
    }

    #[test]
    fn map_takes_no_more_memory_than_the_records_need() {
        assert!(KeyMap::new(1 << 30, 0.9, 100).slots.len() < 120);
    }
}
