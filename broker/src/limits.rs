//! What may grow, and how far. At a limit a request is refused or waits; nothing queues without bound.

mod arrivals;

use crate::api;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use arrivals::Arrivals;
pub(crate) use arrivals::Arriving;

/// Requests of one connection that are read and not yet answered. Larger: one client holds more memory and waiters.
/// Smaller: a producer with small batches waits for the disk more often (Java's default is 5 in flight, librdkafka's
/// 1,000,000).
pub(crate) const REQUESTS_IN_FLIGHT_PER_CONNECTION: usize = 64;

/// Requests of one connection that wait for those before them to be answered, where they take turns. Larger: as many clients
/// as there may be, which ask and ask behind fetches that wait, take all the memory for small requests. Smaller: what a
/// client produces behind them is read only when one is answered.
pub(crate) const REQUESTS_THAT_TAKE_TURNS: usize = 4;

/// The largest frame of an API other than Produce. Larger: one client holds more of the request memory. Smaller: a
/// request over tens of thousands of partitions is refused.
pub(crate) const OTHER_FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often the bytes of a Produce request are read while it is decoded, six times or more for each partition.
/// Larger: decoded, a request that is all elements and no records takes more memory. Smaller: a producer that fills
/// more than 30,000 partitions at once is refused.
const PRODUCE_READS_MAX: usize = 200_000;

/// The same of the other APIs. A fetch session of 100,000 partitions takes 700,000 reads to name, a Metadata request
/// over as many topics 400,000.
const OTHER_READS_MAX: usize = 1_000_000;

/// The memory that one read makes at most: the smallest elements take three reads and about a hundred bytes.
const DECODED_BYTES_PER_READ: usize = 35;

/// How much larger a request is decoded than on the wire, at most: its smallest elements take three bytes there.
const DECODED_BYTES_PER_WIRE_BYTE: usize = 35;

/// Up to this size, frames have room of their own and count as they are on the wire. Larger: small requests of very many
/// elements hold more memory than is counted. Smaller: more clients are held up by a few that announce large frames and do
/// not send them.
const SMALL_FRAME_BYTES: usize = 64 * 1024;

/// All requests of small frames that are read and not yet answered, in KiB. Larger: a node with very many connections
/// takes more memory. Smaller: fewer producers can wait for the disk at the same time.
const SMALL_REQUEST_MEMORY_KIB: u32 = 64 * 1024;

/// All other requests that are read and not yet answered, decoded, in KiB. Larger: a node with many producers takes more memory.
/// Smaller than the largest frame (`socket.request.max.bytes`): that frame would never be read.
const REQUEST_MEMORY_KIB: u32 = 256 * 1024;

/// JoinGroup and SyncGroup requests that wait until other members of their groups come, for minutes if need be; they are
/// counted apart, so that they never keep other requests from being read. Larger: clients that join and never go on hold
/// more memory. Smaller: very many groups that rebalance at once are told to come back.
const PARKED_REQUESTS_MAX: usize = 50_000;

/// What those requests say of protocols and assignments, all of them together, in KiB. Larger: clients that join and never
/// go on hold more memory. Smaller: members of very large subscriptions that rebalance at once are told to come back.
const PARKED_MEMORY_KIB: u32 = 256 * 1024;

/// What fetches keep while they wait for records, all of them together, in KiB; they give back what they took as requests,
/// so that they never keep others from being read. Larger: consumers of very many partitions hold more memory. Smaller: very
/// many of them ask again after [`WAIT_WITHOUT_PLACE`].
const AWAITED_MEMORY_KIB: u32 = 256 * 1024;

/// How long a fetch waits that finds no such place, and holds what it took as a request. Longer: it keeps others from being
/// read for longer. Shorter: its client asks again more often.
pub(crate) const WAIT_WITHOUT_PLACE: Duration = Duration::from_millis(100);

/// The offsets that one OffsetFetch answers, of a group and those before it, in memory with their metadata. Larger: one
/// short request over all groups, whose answer takes no request memory, holds more. Smaller: who looks at every group of
/// a large cluster has to ask more often.
pub(crate) const OFFSET_FETCH_BYTES: usize = 32 * 1024 * 1024;

/// How long a request that names no timeout waits for the metadata quorum. Longer: a disk that hangs holds requests.
/// Shorter: a slow disk fails what would have come to pass. Source: `request.timeout.ms`.
pub(crate) const METADATA_CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request that names `timeout_ms` waits for the metadata quorum. Clients write 0 for "do not wait for the
/// brokers", which with the answer of a quorum would mean that every request fails; so a second is the least.
pub(crate) fn metadata_change_timeout(timeout_ms: i32) -> Duration {
    let asked = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    asked.clamp(Duration::from_secs(1), 4 * METADATA_CHANGE_TIMEOUT)
}

/// How long a deletion of records waits for followers. Unlike a change of the metadata it may be told not to wait: what
/// this node does is done by then.
pub(crate) fn deletion_timeout(timeout_ms: i32) -> Duration {
    let asked = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    asked.min(4 * METADATA_CHANGE_TIMEOUT)
}

/// The node's shared bounds.
#[derive(Debug)]
pub(crate) struct Limits {
    arrivals: Arrivals,
    small_request_memory: Arc<Semaphore>,
    request_memory: Arc<Semaphore>,
    parked: Arc<Semaphore>,
    parked_memory: Arc<Semaphore>,
    awaited_memory: Arc<Semaphore>,
    counts: Arc<Counts>,
}

/// How many requests there are.
#[derive(Debug, Default)]
struct Counts {
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
}

/// One of those that are counted.
#[derive(Debug)]
struct Counted(Arc<Counts>, fn(&Counts) -> &AtomicUsize);

impl Counted {
    fn new(counts: &Arc<Counts>, which: fn(&Counts) -> &AtomicUsize) -> Self {
        which(counts).fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counts), which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::Relaxed);
    }
}

/// How much of the bounds is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) requests_in_flight: usize,
    pub(crate) requests_waiting_for_memory: usize,
    pub(crate) small_request_bytes: usize,
    pub(crate) request_bytes: usize,
    pub(crate) parked_requests: usize,
    pub(crate) parked_bytes: usize,
    pub(crate) awaited_bytes: usize,
}

/// How often the bytes of a request to this API are read while it is decoded, before it is refused.
pub(crate) fn reads_max(api_key: i16) -> usize {
    if api_key == api::PRODUCE_KEY { PRODUCE_READS_MAX } else { OTHER_READS_MAX }
}

/// The memory that a frame takes, decoded. The records of a Produce request stay where they were read.
fn decoded_bytes_max(frame_bytes: usize, api_key: i16) -> usize {
    if frame_bytes <= SMALL_FRAME_BYTES || api_key == api::PRODUCE_KEY {
        return frame_bytes;
    }
    let by_reads = reads_max(api_key) * DECODED_BYTES_PER_READ;
    frame_bytes + frame_bytes.saturating_mul(DECODED_BYTES_PER_WIRE_BYTE).min(by_reads)
}

/// A share of the request memory, given back on drop or before.
#[derive(Debug, Default)]
pub(crate) struct RequestMemory {
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    _in_flight: Option<Counted>,
}

impl RequestMemory {
    /// Gives the share back: what was read is decoded and lives elsewhere.
    fn release(&self) {
        drop(self.permit.lock().take());
    }
}

/// A place among the requests that are parked in groups, given up on drop.
#[derive(Debug)]
pub(crate) struct Parked {
    _place: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

/// A place among the fetches that wait for records, given up on drop.
#[derive(Debug)]
pub(crate) struct AwaitingRecords {
    _memory: OwnedSemaphorePermit,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            arrivals: Arrivals::new(),
            small_request_memory: Arc::new(Semaphore::new(SMALL_REQUEST_MEMORY_KIB as usize)),
            request_memory: Arc::new(Semaphore::new(REQUEST_MEMORY_KIB as usize)),
            parked: Arc::new(Semaphore::new(PARKED_REQUESTS_MAX)),
            parked_memory: Arc::new(Semaphore::new(PARKED_MEMORY_KIB as usize)),
            awaited_memory: Arc::new(Semaphore::new(AWAITED_MEMORY_KIB as usize)),
            counts: Arc::default(),
        }
    }

    /// How much is taken now.
    pub(crate) fn usage(&self) -> Usage {
        let taken = |limit: usize, semaphore: &Semaphore| limit.saturating_sub(semaphore.available_permits());
        let (small_arrivals, arrivals) = self.arrivals.taken();
        Usage {
            requests_in_flight: self.counts.in_flight.load(Ordering::Relaxed),
            requests_waiting_for_memory: self.counts.waiting.load(Ordering::Relaxed),
            small_request_bytes: small_arrivals
                + 1024 * taken(SMALL_REQUEST_MEMORY_KIB as usize, &self.small_request_memory),
            request_bytes: arrivals + 1024 * taken(REQUEST_MEMORY_KIB as usize, &self.request_memory),
            parked_requests: taken(PARKED_REQUESTS_MAX, &self.parked),
            parked_bytes: 1024 * taken(PARKED_MEMORY_KIB as usize, &self.parked_memory),
            awaited_bytes: 1024 * taken(AWAITED_MEMORY_KIB as usize, &self.awaited_memory),
        }
    }

    /// A frame of `frame_bytes` that has been announced by a client at `from`.
    pub(crate) fn arriving(&self, frame_bytes: usize, api_key: i16, from: IpAddr) -> Arriving<'_> {
        self.arrivals.begin(self, &self.counts, (frame_bytes, api_key), from)
    }

    /// Waits until a frame of `frame_bytes`, which is there, may be decoded.
    async fn request_memory(&self, frame_bytes: usize, api_key: i16, in_flight: Counted) -> RequestMemory {
        let bytes = decoded_bytes_max(frame_bytes, api_key);
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(REQUEST_MEMORY_KIB);
        let memory =
            if frame_bytes <= SMALL_FRAME_BYTES { &self.small_request_memory } else { &self.request_memory };
        let permit = match Arc::clone(memory).try_acquire_many_owned(kib) {
            Ok(permit) => Some(permit),
            Err(_full) => {
                let _waiting = Counted::new(&self.counts, |counts| &counts.waiting);
                Arc::clone(memory).acquire_many_owned(kib).await.ok()
            }
        };
        RequestMemory { permit: Mutex::new(permit), _in_flight: Some(in_flight) }
    }

    /// A place for a request that waits until other members of its group come, and of which `bytes` stay meanwhile, in
    /// exchange for the room that it took as a request: its frame is gone. `None` where there is no place.
    pub(crate) fn park(&self, memory: &RequestMemory, bytes: usize) -> Option<Parked> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let place = Arc::clone(&self.parked).try_acquire_owned().ok()?;
        let room = Arc::clone(&self.parked_memory).try_acquire_many_owned(kib).ok()?;
        memory.release();
        Some(Parked { _place: place, _memory: room })
    }

    /// A place for a fetch that waits for records, and of which `bytes` stay meanwhile, in exchange for the room that it took
    /// as a request: its frame is gone. `None` where there is no place, and it keeps that room.
    pub(crate) fn await_records(&self, memory: &RequestMemory, bytes: usize) -> Option<AwaitingRecords> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.awaited_memory).try_acquire_many_owned(kib).ok()?;
        memory.release();
        Some(AwaitingRecords { _memory: room })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        AWAITED_MEMORY_KIB, Limits, PARKED_MEMORY_KIB, PARKED_REQUESTS_MAX, REQUEST_MEMORY_KIB,
        decoded_bytes_max, metadata_change_timeout,
    };
    use crate::api::PRODUCE_KEY;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    const FETCH_KEY: i16 = 1;
    const METADATA_KEY: i16 = 3;
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_frame_of_elements_counts_as_what_it_becomes() {
        assert_eq!(decoded_bytes_max(1000, METADATA_KEY), 1000);
        assert_eq!(decoded_bytes_max(100_000, METADATA_KEY), 3_600_000);
        assert_eq!(decoded_bytes_max(8_000_000, METADATA_KEY), 43_000_000);
        assert_eq!(decoded_bytes_max(8_000_000, PRODUCE_KEY), 8_000_000);
    }

    #[tokio::test]
    async fn large_frames_are_bounded_and_leave_room_for_small_ones() {
        let limits = Limits::new();
        let all = limits.arriving(usize::MAX, PRODUCE_KEY, CLIENT).complete().await;
        assert_eq!(limits.request_memory.available_permits(), 0, "a frame of any size can be read, alone");
        let small = limits.arriving(1, METADATA_KEY, CLIENT).complete().await;
        drop(all);
        assert_eq!(limits.request_memory.available_permits(), REQUEST_MEMORY_KIB as usize);
        drop(small);
    }

    #[tokio::test]
    async fn a_parked_request_takes_no_room_of_those_that_are_served() {
        let limits = Limits::new();
        let memory = limits.arriving(1, METADATA_KEY, CLIENT).complete().await;
        let free = limits.small_request_memory.available_permits();
        let parked = limits.park(&memory, 10).expect("there is a place");
        assert_eq!(limits.small_request_memory.available_permits(), free + 1);
        assert_eq!(limits.parked.available_permits(), PARKED_REQUESTS_MAX - 1);
        drop(parked);
        assert_eq!(limits.parked.available_permits(), PARKED_REQUESTS_MAX);
        let all = limits.parked.acquire_many(u32::try_from(PARKED_REQUESTS_MAX).expect("fits")).await;
        assert!(all.is_ok() && limits.park(&memory, 10).is_none());
    }

    #[tokio::test]
    async fn parked_requests_say_no_more_together_than_there_is_memory_for() {
        let limits = Limits::new();
        let memory = limits.arriving(1, METADATA_KEY, CLIENT).complete().await;
        let half = PARKED_MEMORY_KIB as usize / 2 * 1024;
        let parked = limits.park(&memory, half).expect("there is room");
        assert!(limits.park(&memory, half + 1).is_none());
        assert!(limits.park(&memory, half).is_some());
        drop(parked);
        assert_eq!(limits.parked_memory.available_permits(), PARKED_MEMORY_KIB as usize);
        assert_eq!(limits.parked.available_permits(), PARKED_REQUESTS_MAX);
    }

    #[tokio::test]
    async fn a_fetch_that_waits_gives_back_its_room_as_long_as_there_is_a_place() {
        let limits = Limits::new();
        let nothing = limits.usage();
        let all = AWAITED_MEMORY_KIB as usize * 1024;
        let [first, second] =
            [limits.arriving(60_000, FETCH_KEY, CLIENT), limits.arriving(1, FETCH_KEY, CLIENT)];
        let (first, second) = (first.complete().await, second.complete().await);
        let place = limits.await_records(&first, all).expect("there is a place");
        let taken = limits.usage();
        assert_eq!((taken.small_request_bytes, taken.awaited_bytes), (1024, all));
        assert!(limits.await_records(&second, 1).is_none());
        assert_eq!(limits.usage(), taken, "the second keeps what it holds");
        drop((first, second, place));
        assert_eq!(limits.usage(), nothing);
    }

    #[tokio::test]
    async fn what_is_taken_is_told() {
        let limits = Limits::new();
        let nothing = limits.usage();
        let all = limits.arriving(usize::MAX, PRODUCE_KEY, CLIENT).complete().await;
        let small = limits.arriving(1025, METADATA_KEY, CLIENT).complete().await;
        let mut waiting = std::pin::pin!(limits.arriving(100_000, PRODUCE_KEY, CLIENT).complete());
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
        let parked = limits.park(&small, 10).expect("there is a place");
        let taken = limits.usage();
        assert_eq!((taken.requests_in_flight, taken.requests_waiting_for_memory), (3, 1));
        assert_eq!((taken.request_bytes, taken.small_request_bytes), (256 << 20, 0));
        assert_eq!((taken.parked_requests, taken.parked_bytes), (1, 1024));
        drop((all, small, parked));
        drop(waiting.await);
        assert_eq!(limits.usage(), nothing);
    }

    #[test]
    fn a_timeout_of_zero_leaves_the_quorum_time_to_answer() {
        assert_eq!(metadata_change_timeout(-1), Duration::from_secs(1));
        assert_eq!(metadata_change_timeout(0), Duration::from_secs(1));
        assert_eq!(metadata_change_timeout(5000), Duration::from_secs(5));
        assert_eq!(metadata_change_timeout(i32::MAX), Duration::from_secs(120));
    }
}
