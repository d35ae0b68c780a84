//! Cuts a byte stream between nodes into frames.
//!
//! ```text
//! length: u32, big-endian | body: that many bytes
//! ```
//!
//! Invariants: a length over what the caller takes is refused before anything is allocated for it, and memory follows
//! the bytes that arrived, not the length that was announced. What a body means is the caller's.

use bytes::{Buf, Bytes, BytesMut};
use std::io::{self, IoSlice};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The bytes of a frame's length.
pub(super) const LENGTH_BYTES: usize = 4;

/// How far the memory for a frame runs ahead of its bytes. Larger: a peer that announces much and sends nothing holds
/// more. Smaller: a frame of the usual megabyte is copied more often while its memory grows.
const GROWTH_BYTES_MAX: usize = 256 * 1024;

/// The same between nodes that know each other, where frames hold megabytes of records: memory for the whole frame at once
/// saves a copy. Larger than what a follower asks for at a time (`replica.fetch.response.max.bytes`) is never needed.
const KNOWN_GROWTH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Memory that is kept for the next frame. Larger: each connection holds more after a burst. Smaller: the frames of a busy
/// connection are each put into new memory.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Why no frame could be read. Each ends the connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The other side closed between two frames.
    #[error("the connection was closed")]
    Closed,
    /// The other side closed within a frame.
    #[error("the connection ended after {received} bytes of a frame")]
    CutOff {
        /// The bytes of the frame that came, its length included.
        received: usize,
    },
    /// The announced length is over what the caller takes.
    #[error("a frame announced {length} bytes, and at most {limit} are taken")]
    TooLarge {
        /// The announced length in bytes.
        length: usize,
        /// The most that the caller takes, in bytes.
        limit: usize,
    },
    /// The socket failed.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
}

/// Reads frames, and keeps what it has of the next one.
#[derive(Debug)]
pub(crate) struct FrameReader {
    received: BytesMut,
    growth_bytes_max: usize,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self { received: BytesMut::new(), growth_bytes_max: GROWTH_BYTES_MAX }
    }
}

impl FrameReader {
    /// A reader that takes a node at its word about how much will come.
    pub(crate) fn of_known_node() -> Self {
        Self { growth_bytes_max: KNOWN_GROWTH_BYTES_MAX, ..Self::default() }
    }

    /// The body of the next frame, of at most `limit` bytes.
    ///
    /// Cancel-safe: what came so far is kept for the next call.
    ///
    /// # Errors
    /// See [`FrameError`]; nothing can be read after any of them.
    pub(crate) async fn read<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
        limit: usize,
    ) -> Result<Bytes, FrameError> {
        self.fill(stream, LENGTH_BYTES).await?;
        let length = self.announced();
        if length > limit {
            return Err(FrameError::TooLarge { length, limit });
        }
        self.fill(stream, LENGTH_BYTES + length).await?;
        self.received.advance(LENGTH_BYTES);
        let frame = self.received.split().freeze();
        if frame.len() > KEPT_BYTES_MAX {
            // Otherwise its memory is used again, once nobody has the frame any more.
            self.received = BytesMut::new();
        }
        Ok(frame)
    }

    /// What came of the frame that is being read, its length included.
    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    /// Reads until `wanted` bytes are there, and never more: what follows the frame stays in the stream.
    async fn fill<R: AsyncRead + Unpin>(&mut self, stream: &mut R, wanted: usize) -> Result<(), FrameError> {
        while let Some(missing) = wanted.checked_sub(self.received.len()).filter(|&missing| missing > 0) {
            if self.received.len() == self.received.capacity() {
                self.received.reserve(missing.min(self.growth_bytes_max.max(self.received.len())));
            }
            if stream.read_buf(&mut bytes::BufMut::limit(&mut self.received, missing)).await? == 0 {
                return Err(match self.received.len() {
                    0 => FrameError::Closed,
                    received => FrameError::CutOff { received },
                });
            }
        }
        Ok(())
    }

    fn announced(&self) -> usize {
        let mut head = self.received.as_ref();
        head.try_get_u32().map_or(usize::MAX, |length| length as usize)
    }
}

/// Reads one frame's body, of at most `limit` bytes, and no byte beyond it.
///
/// Not cancel-safe: a reader that is dropped has lost its place in the stream. See [`FrameReader`].
///
/// # Errors
/// See [`FrameError`].
pub(crate) async fn read_frame<R: AsyncRead + Unpin>(
    stream: &mut R,
    limit: usize,
) -> Result<Bytes, FrameError> {
    FrameReader::default().read(stream, limit).await
}

/// Writes one frame whose body is `pieces`, one after the other, without copying them, and flushes.
///
/// Not cancel-safe: a writer that is dropped may have written half a frame.
///
/// # Errors
/// When the socket fails, or the pieces together are 4 GiB or more.
pub(crate) async fn write_frame<W: AsyncWrite + Unpin>(stream: &mut W, pieces: &[&[u8]]) -> io::Result<()> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let length = u32::try_from(length)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame holds less than 4 GiB"))?
        .to_be_bytes();
    let mut slices = Vec::with_capacity(pieces.len() + 1);
    slices.push(IoSlice::new(&length));
    slices.extend(pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| IoSlice::new(piece)));
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let written = stream.write_vectored(rest).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::{FrameError, FrameReader, GROWTH_BYTES_MAX, read_frame, write_frame};
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn pieces_come_back_as_one_body() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &[b"one", b"", b"two"]).await.unwrap();
        write_frame(&mut bytes, &[]).await.unwrap();
        assert_eq!(bytes, b"\0\0\0\x06onetwo\0\0\0\0");
        let mut stream = bytes.as_slice();
        assert_eq!(read_frame(&mut stream, 6).await.unwrap(), "onetwo");
        assert_eq!(read_frame(&mut stream, 6).await.unwrap(), "");
        assert!(matches!(read_frame(&mut stream, 6).await, Err(FrameError::Closed)));
    }

    #[tokio::test]
    async fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let refused = read_frame(&mut &b"\0\0\0\x07"[..], 6).await;
        assert!(matches!(refused, Err(FrameError::TooLarge { length: 7, limit: 6 })));
    }

    #[tokio::test]
    async fn memory_follows_the_bytes_that_arrived() {
        let mut reader = FrameReader::default();
        let mut stream = &b"\x7f\xff\xff\xff and a few bytes"[..];
        assert!(matches!(
            reader.read(&mut stream, usize::MAX).await,
            Err(FrameError::CutOff { received: 20 })
        ));
        assert!(reader.received.capacity() <= 2 * GROWTH_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_reader_that_was_dropped_mid_frame_goes_on_where_it_was() {
        let (mut sender, mut receiver) = tokio::io::duplex(64);
        let mut reader = FrameReader::default();
        sender.write_all(b"\0\0\0\x04ab").await.unwrap();
        tokio::select! {
            biased;
            early = reader.read(&mut receiver, 8) => panic!("half a frame was read: {early:?}"),
            () = tokio::task::yield_now() => {}
        }
        sender.write_all(b"cd").await.unwrap();
        assert_eq!(reader.read(&mut receiver, 8).await.unwrap(), "abcd");
    }
}
