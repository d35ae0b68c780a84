//! Frames that are still arriving. What one holds grows with what was sent of it.
//!
//! Invariants: a frame holds room for at most four times the bytes that are there, never for what it announced, so that
//! requests which are begun and not sent take nothing from the others. Where all room is taken, one frame at a time goes on
//! without any: it gets done, whatever the others wait for ([`Lane`]). A frame that has room and does not fill it is in the
//! way once others wait, and so is one that has some and waits for more; their connections are closed then, soonest those
//! of clients that have fallen silent (`connection/incoming.rs`), so that all who wait come to their turn.
//!
//! Absent: what whole requests hold ([`super::Limits`]), and the deadline that every frame has (`connection`).

mod lane;

use super::{Counted, Counts, Limits, RequestMemory, SMALL_FRAME_BYTES};
use lane::{Lane, Pass};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How far ahead of what is there a frame is given room: larger, those that stop arriving hold more; smaller, the bytes of a
/// usual request are copied more often while its buffer grows.
const AHEAD: usize = 4;

/// So much of a frame fits the read buffer that its connection has anyway. Larger: a thousand slow clients hold more memory
/// that is not counted. Smaller: requests of the usual size are counted twice.
const FREE_BYTES: usize = 4 * 1024;

/// What small frames may hold until they are whole, all together, in KiB. Larger: clients that send half of them hold more
/// memory. Smaller: more of them than this, over thin lines, arrive one after the other.
const SMALL_KIB: usize = 6 * 1024;

/// What larger frames may. Larger and smaller as above: it is the size of 12 requests of the usual megabyte. The allocator
/// holds up to twice as much for a moment, while frames come, grow and go.
const LARGE_KIB: usize = 12 * 1024;

/// The room for frames that arrive.
#[derive(Debug)]
pub(super) struct Arrivals {
    small: Arc<Room>,
    large: Arc<Room>,
}

#[derive(Debug)]
struct Room {
    total_kib: usize,
    kib: Arc<Semaphore>,
    lane: Arc<Lane>,
    waiting: AtomicUsize,
}

/// A frame that arrives. What it holds is given back on drop.
#[derive(Debug)]
pub(crate) struct Arriving<'a> {
    limits: &'a Limits,
    room: Arc<Room>,
    from: IpAddr,
    size: usize,
    api_key: i16,
    held: Option<OwnedSemaphorePermit>,
    pass: Option<Pass>,
    in_flight: Counted,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        let room = |total_kib| {
            let kib = Arc::new(Semaphore::new(total_kib));
            Arc::new(Room { total_kib, kib, lane: Arc::default(), waiting: AtomicUsize::new(0) })
        };
        Self { small: room(SMALL_KIB), large: room(LARGE_KIB) }
    }

    /// What small and larger frames hold, in bytes, those that go on without room among them.
    pub(super) fn taken(&self) -> (usize, usize) {
        let taken = |room: &Room| {
            1024 * room.total_kib.saturating_sub(room.kib.available_permits()) + room.lane.held_bytes()
        };
        (taken(&self.small), taken(&self.large))
    }

    pub(super) fn begin<'a>(
        &self,
        limits: &'a Limits,
        counts: &Arc<Counts>,
        (size, api_key): (usize, i16),
        from: IpAddr,
    ) -> Arriving<'a> {
        let room = Arc::clone(if size <= SMALL_FRAME_BYTES { &self.small } else { &self.large });
        let in_flight = Counted::new(counts, |counts| &counts.in_flight);
        Arriving { limits, room, from, size, api_key, held: None, pass: None, in_flight }
    }
}

impl Arriving<'_> {
    /// Up to where the frame may be read (exclusive, in bytes), where `arrived` bytes of it are there. Waits for room.
    pub(crate) async fn grow(&mut self, arrived: usize) -> usize {
        let allowed = arrived.saturating_mul(AHEAD).max(FREE_BYTES).min(self.size);
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if let Some(pass) = &self.pass {
            pass.holds(allowed.saturating_sub(1024 * held));
            return allowed;
        }
        if allowed <= FREE_BYTES {
            return allowed;
        }
        let missing = u32::try_from(allowed.div_ceil(1024).saturating_sub(held)).unwrap_or(u32::MAX);
        let more = match Arc::clone(&self.room.kib).try_acquire_many_owned(missing) {
            Ok(more) => Some(more),
            Err(_full) => self.wait_for(missing).await,
        };
        match (more, &mut self.held, &self.pass) {
            (Some(more), Some(held), _) => held.merge(more),
            (Some(more), None, _) => self.held = Some(more),
            (None, _, Some(pass)) => pass.holds(allowed.saturating_sub(1024 * held)),
            (None, _, None) => {}
        }
        allowed
    }

    /// Room, or `None` where this is the one that goes on without.
    async fn wait_for(&mut self, kib: u32) -> Option<OwnedSemaphorePermit> {
        let _waiting = Counted::new(&self.limits.counts, |counts| &counts.waiting);
        let _in_this_room = Waiting::new(&self.room.waiting);
        tokio::select! {
            biased;
            // Neither is closed ever.
            room = Arc::clone(&self.room.kib).acquire_many_owned(kib) => room.ok(),
            pass = self.room.lane.ask(self.from) => {
                self.pass = pass.ok();
                None
            }
        }
    }

    /// Whether this is the one that goes on without room.
    pub(crate) fn is_the_one(&self) -> bool {
        self.pass.is_some()
    }

    /// Whether this frame holds something that others may wait for.
    pub(crate) fn holds_room(&self) -> bool {
        self.held.is_some() || self.is_the_one()
    }

    /// Whether others wait for what this frame holds.
    pub(crate) fn is_in_the_way(&self) -> bool {
        self.holds_room() && self.room.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits until the frame, which is there as a whole, may be decoded.
    pub(crate) async fn complete(self) -> RequestMemory {
        self.limits.request_memory(self.size, self.api_key, self.in_flight).await
    }
}

/// One that is counted as long as it is there.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{FREE_BYTES, LARGE_KIB};
    use crate::api::PRODUCE_KEY;
    use crate::limits::Limits;
    use futures_util::FutureExt;
    use std::net::{IpAddr, Ipv4Addr};

    const MIB: usize = 1024 * 1024;
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_frame_holds_a_few_times_what_is_there() {
        let limits = Limits::new();
        let mut frame = limits.arriving(100 * MIB, PRODUCE_KEY, CLIENT);
        assert_eq!((frame.grow(8).await, limits.arrivals.taken()), (FREE_BYTES, (0, 0)));
        assert_eq!(frame.grow(FREE_BYTES).await, 4 * FREE_BYTES);
        assert_eq!(frame.grow(MIB).await, 4 * MIB);
        assert_eq!(limits.usage().request_bytes, 4 * MIB);
        drop(frame);
        assert_eq!(limits.usage().request_bytes, 0);
    }

    #[tokio::test]
    async fn where_all_room_is_taken_one_goes_on_at_a_time_and_the_others_after_it() {
        let limits = Limits::new();
        let mut stalled = limits.arriving(100 * MIB, PRODUCE_KEY, CLIENT);
        stalled.grow(LARGE_KIB * 1024 / 4).await;
        assert!(!stalled.is_in_the_way(), "nobody waits");
        let [mut first, mut second] = [0; 2].map(|_| limits.arriving(MIB, PRODUCE_KEY, CLIENT));
        assert_eq!(first.grow(FREE_BYTES).await, 4 * FREE_BYTES);
        assert_eq!(
            limits.usage().request_bytes,
            LARGE_KIB * 1024 + 4 * FREE_BYTES,
            "it is counted all the same"
        );
        assert_eq!(first.grow(MIB / 2).await, MIB, "it may be read to its end");
        assert_eq!(limits.usage().request_bytes, LARGE_KIB * 1024 + MIB);
        {
            let mut waiting = Box::pin(second.grow(FREE_BYTES));
            assert_eq!(waiting.as_mut().now_or_never(), None);
            assert!(stalled.is_in_the_way() && first.is_in_the_way());
            drop(first.complete().await);
            assert_eq!(waiting.await, 4 * FREE_BYTES);
            assert_eq!(limits.usage().request_bytes, LARGE_KIB * 1024 + 4 * FREE_BYTES);
        }
        assert!(!stalled.is_in_the_way());
        drop(second);
        assert_eq!(limits.usage().request_bytes, LARGE_KIB * 1024);
        // Small ones have room of their own.
        let mut small = limits.arriving(10_000, PRODUCE_KEY, CLIENT);
        assert_eq!(small.grow(6_000).await, 10_000);
        assert!(!small.is_in_the_way());
    }
}
