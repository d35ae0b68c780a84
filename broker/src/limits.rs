//! What may grow, and how far. At a limit a request is refused or waits; nothing queues without bound.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one connection that are read and not yet answered. Larger: one client holds more memory and waiters.
/// Smaller: a producer with small batches waits for the disk more often (Java's default is 5 in flight, librdkafka's
/// 1,000,000).
pub(crate) const REQUESTS_IN_FLIGHT_PER_CONNECTION: usize = 64;

/// The largest frame of an API other than Produce. Decoded, a request takes up to 35 times the memory of its frame,
/// since its smallest elements take one byte on the wire. Larger: one request may take more than that. Smaller: a
/// request over tens of thousands of partitions is refused.
pub(crate) const OTHER_FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// All frames that are read and not yet answered, in KiB. Larger: a node with many producers takes more memory.
/// Smaller than the largest frame (`socket.request.max.bytes`): that frame would never be read.
const REQUEST_MEMORY_KIB: u32 = 256 * 1024;

/// The node's shared bounds.
#[derive(Debug)]
pub(crate) struct Limits {
    request_memory: Arc<Semaphore>,
}

/// A share of the request memory, given back on drop.
#[derive(Debug)]
pub(crate) struct RequestMemory {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self { request_memory: Arc::new(Semaphore::new(REQUEST_MEMORY_KIB as usize)) }
    }

    /// Waits until a frame of `bytes` may be read.
    pub(crate) async fn request_memory(&self, bytes: usize) -> RequestMemory {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(REQUEST_MEMORY_KIB);
        let permit = Arc::clone(&self.request_memory).acquire_many_owned(kib).await;
        RequestMemory { _permit: permit.ok() }
    }
}
