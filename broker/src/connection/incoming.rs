//! Requests as they come over a connection, and how long each may take to arrive.

use super::Ending;
use crate::api;
use crate::limits::{self, Arriving, Limits, RequestMemory};
use crate::wire::frame::FrameReader;
use crate::wire::request_header::RequestPrefix;
use bytes::Bytes;
use std::io;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::time::timeout;

/// A frame that has begun must be complete after this long. Longer: half-sent frames hold a connection. Shorter: a
/// thin line cannot carry a large request.
pub(super) const FRAME_DEADLINE: Duration = Duration::from_secs(120);

/// A frame that was given room must fill it in so long, where others wait for room. Longer: requests that are begun and not
/// sent hold up the others for longer. Shorter: a thin line is cut off where many are slow at once.
const STALL_MAX: Duration = Duration::from_secs(10);

/// How long the one frame that goes on without room may take for each of these bytes, where others wait. Longer, or fewer
/// bytes: who sends half a request holds up large requests for longer. Shorter, or more: a thin line is cut off.
const STALL_OF_ONE: Duration = Duration::from_secs(1);
const BYTES_OF_ONE: usize = 64 * 1024;

/// The reading half of a connection.
pub(super) struct Incoming<R> {
    stream: R,
    frames: FrameReader,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, frames: FrameReader::default() }
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
        let mut arriving = limits.arriving(size, api_key);
        while self.frames.arrived() < size {
            let allowed = arriving.grow(self.frames.arrived()).await;
            self.fill(allowed, size, &arriving).await?;
        }
        let memory = arriving.complete().await;
        Ok((self.frames.body(size), memory))
    }

    /// Reads until `allowed` of the frame's bytes are there.
    async fn fill(&mut self, allowed: usize, size: usize, arriving: &Arriving<'_>) -> Result<(), Ending> {
        let patience = if arriving.is_the_one() { STALL_OF_ONE } else { STALL_MAX };
        loop {
            let before = self.frames.arrived();
            match timeout(patience, self.frames.fill(&mut self.stream, allowed, size)).await {
                Ok(filled) => return Ok(filled?),
                Err(_elapsed) => {
                    let goes_on = arriving.is_the_one() && self.frames.arrived() >= before + BYTES_OF_ONE;
                    if arriving.is_in_the_way() && !goes_on {
                        return Err(Ending::FrameInTheWay);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
