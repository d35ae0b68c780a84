//! Requests as they come over a connection, and how long each may take to arrive.

use super::Ending;
use crate::api;
use crate::limits::{self, Arriving, Limits, RequestMemory};
use crate::wire::frame::FrameReader;
use crate::wire::request_header::RequestPrefix;
use bytes::Bytes;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::time::timeout;

/// A frame that has begun must be complete after this long. Longer: half-sent frames hold a connection. Shorter: a
/// thin line cannot carry a large request.
pub(super) const FRAME_DEADLINE: Duration = Duration::from_secs(120);

/// A frame that was given room must fill it in so long, where others wait for room, and wait no longer itself for more while
/// it holds some. Longer: requests that are begun and not sent hold up the others for longer. Shorter: a thin line is cut
/// off where many are slow at once.
const STALL_MAX: Duration = Duration::from_secs(10);

/// How slow a frame may be where others wait for what it holds.
struct Pace {
    /// How long no byte at all may come.
    silence_max: Duration,
    /// In each such time ...
    window: Duration,
    /// ... so many bytes come, or all that it has room for.
    bytes: usize,
}

/// Of those that have room. Larger `silence_max`: it takes longer until a thousand of them that are half sent have had their
/// turn. Smaller: a client whose line falters is cut off, which before long is every mobile one.
const PACE_WITH_ROOM: Pace =
    Pace { silence_max: Duration::from_secs(2), window: STALL_MAX, bytes: usize::MAX };

/// Of the one that goes on without room. Slower: who sends half a request holds up large requests for longer. Faster: a thin
/// line is cut off, or one on which an answer takes as long as `silence_max`.
const PACE_OF_ONE: Pace =
    Pace { silence_max: Duration::from_millis(250), window: Duration::from_secs(1), bytes: 64 * 1024 };

/// The reading half of a connection.
pub(super) struct Incoming<R> {
    stream: R,
    /// Where the client is.
    from: IpAddr,
    frames: FrameReader,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(super) fn new(stream: R, from: IpAddr) -> Self {
        Self { stream, from, frames: FrameReader::default() }
    }

    pub(super) fn into_stream(self) -> R {
        self.stream
    }

    /// Waits for the first bytes of a request. Returns `false` when the client closed. Cancel-safe.
    pub(super) async fn wait_for_bytes(&mut self) -> io::Result<bool> {
        self.frames.wait_for_bytes(&mut self.stream).await
    }

    /// Gives back the memory of earlier, larger requests.
    pub(super) fn shrink(&mut self) {
        self.frames.shrink();
    }

    /// Reads a request that has begun, of `bytes_max` at most.
    pub(super) async fn request(
        &mut self,
        limits: &Limits,
        bytes_max: usize,
    ) -> Result<(Bytes, RequestMemory), Ending> {
        timeout(FRAME_DEADLINE, self.read(limits, bytes_max))
            .await
            .map_err(|_elapsed| Ending::FrameTooSlow)?
    }

    async fn read(&mut self, limits: &Limits, bytes_max: usize) -> Result<(Bytes, RequestMemory), Ending> {
        let Some(size) = self.frames.announcement(&mut self.stream, bytes_max).await? else {
            return Err(Ending::PeerClosed);
        };
        let head = self.frames.peek(&mut self.stream, size.min(8)).await?;
        let api_key = RequestPrefix::read(head)?.api_key;
        if size > limits::OTHER_FRAME_BYTES_MAX && api_key != api::PRODUCE_KEY {
            return Err(Ending::FrameTooLarge { size, limit: limits::OTHER_FRAME_BYTES_MAX });
        }
        let mut arriving = limits.arriving(size, api_key, self.from);
        while self.frames.arrived() < size {
            let allowed = room_for(&mut arriving, self.frames.arrived()).await?;
            self.fill(allowed, size, &arriving).await?;
        }
        let memory = arriving.complete().await;
        Ok((self.frames.body(size), memory))
    }

    /// Reads until `allowed` of the frame's bytes are there.
    async fn fill(&mut self, allowed: usize, size: usize, arriving: &Arriving<'_>) -> Result<(), Ending> {
        let pace = if arriving.is_the_one() { PACE_OF_ONE } else { PACE_WITH_ROOM };
        let (mut since, mut waited) = (self.frames.arrived(), Duration::ZERO);
        loop {
            let before = self.frames.arrived();
            if let Ok(filled) =
                timeout(pace.silence_max, self.frames.fill(&mut self.stream, allowed, size)).await
            {
                return Ok(filled?);
            }
            let arrived = self.frames.arrived();
            waited += pace.silence_max;
            let is_window_over = waited >= pace.window;
            let is_too_slow = arrived == before || is_window_over && arrived - since < pace.bytes;
            match arriving.is_in_the_way() {
                true if is_too_slow => return Err(Ending::FrameInTheWay),
                true if !is_window_over => {}
                _ => (since, waited) = (arrived, Duration::ZERO),
            }
        }
    }
}

/// Waits for room; who holds some meanwhile keeps it from others.
async fn room_for(arriving: &mut Arriving<'_>, arrived: usize) -> Result<usize, Ending> {
    if !arriving.holds_room() {
        return Ok(arriving.grow(arrived).await);
    }
    timeout(STALL_MAX, arriving.grow(arrived)).await.map_err(|_elapsed| Ending::FrameInTheWay)
}

#[cfg(test)]
mod tests;
