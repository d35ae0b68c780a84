//! Splits a byte stream into Kafka's frames: a 4-byte size, big-endian, and that many bytes.
//!
//! Invariants: a size is judged before a byte of the frame is stored, and memory follows the bytes that arrived, never
//! the size that a peer announced. A frame is a slice of the read buffer, which is used again once the frame is dropped.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The read buffer of a quiet connection. Larger: memory for each idle connection. Smaller: more reads for small
/// requests.
const QUIET_BUFFER_BYTES: usize = 4 * 1024;

/// How far a buffer may grow ahead of the bytes that have arrived, while these are few. Larger: a peer that announces a long
/// frame and sends nothing holds more memory. Smaller: short frames are copied while their buffer grows.
const GROWTH_BYTES_MAX: usize = 64 * 1024;

/// Why a stream could not be split further. Each ends the connection.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer closed in the middle of a frame.
    #[error("the connection ended after {received} of a frame's {announced} bytes")]
    CutOff {
        /// The size that the frame announced, in bytes.
        announced: usize,
        /// The bytes of it that came.
        received: usize,
    },
    /// The size was zero or negative.
    #[error("a frame announced a size of {size} bytes")]
    Size {
        /// The size as the peer wrote it.
        size: i32,
    },
    /// The size was over what this connection may send.
    #[error("a frame announced {size} bytes; at most {limit} are read (socket.request.max.bytes)")]
    TooLarge {
        /// The announced size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The first bytes were a TLS handshake.
    #[error("a client spoke TLS to a plaintext listener; set its security.protocol to PLAINTEXT")]
    Tls,
    /// The first bytes were an HTTP request.
    #[error("a client spoke HTTP to the Kafka listener; health and metrics are on ottla.http.listener")]
    Http,
    /// The socket failed.
    #[error("reading from the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// The reading half of a connection, cut into frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: BytesMut,
    /// Whether a frame was announced before: only who comes to the wrong port begins with something else.
    has_begun: bool,
}

impl FrameReader {
    /// Waits for the first bytes of the next frame. Returns `false` when the peer closed between frames.
    ///
    /// Cancel-safe: what was read stays in the buffer.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn wait_for_bytes<R: AsyncRead + Unpin>(&mut self, stream: &mut R) -> io::Result<bool> {
        if !self.buffer.is_empty() {
            return Ok(true);
        }
        self.buffer.reserve(QUIET_BUFFER_BYTES);
        Ok(stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// Gives back the memory of earlier, larger frames. For a connection that has fallen quiet.
    pub fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > QUIET_BUFFER_BYTES {
            self.buffer = BytesMut::new();
        }
    }

    /// The size of the next frame, at most `limit` bytes, or `None` when the peer closed between frames. The frame's
    /// bytes are then read by [`FrameReader::fill`].
    ///
    /// # Errors
    /// See [`FrameError`]; the stream cannot be read further after any of them.
    pub async fn announcement<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
        limit: usize,
    ) -> Result<Option<usize>, FrameError> {
        while self.buffer.len() < 4 {
            self.buffer.reserve(QUIET_BUFFER_BYTES);
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    received => Err(FrameError::CutOff { announced: 4, received }),
                };
            }
        }
        let announced = self.announced_size(limit)?;
        self.has_begun = true;
        self.buffer.advance(4);
        Ok(Some(announced))
    }

    /// The first `count` bytes of the announced frame, without taking them.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub async fn peek<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
        count: usize,
    ) -> Result<&[u8], FrameError> {
        self.fill(stream, count, count).await?;
        Ok(self.buffer.get(..count).unwrap_or_default())
    }

    /// How many bytes behind the last size are there; those of later frames among them.
    #[must_use]
    pub fn arrived(&self) -> usize {
        self.buffer.len()
    }

    /// Reads on until `wanted` bytes (inclusive of those that are there) of the announced frame have arrived, and none
    /// beyond.
    ///
    /// Cancel-safe: what was read stays in the buffer.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub async fn fill<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
        wanted: usize,
        announced: usize,
    ) -> Result<(), FrameError> {
        while self.buffer.len() < wanted {
            let missing = wanted - self.buffer.len();
            self.buffer.reserve(missing.min(GROWTH_BYTES_MAX.max(3 * self.buffer.len())));
            if (&mut *stream).take(missing as u64).read_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::CutOff { announced, received: self.buffer.len() });
            }
        }
        Ok(())
    }

    /// The frame of `announced` bytes, without its size, all of which have arrived.
    pub fn body(&mut self, announced: usize) -> Bytes {
        self.buffer.split_to(announced.min(self.buffer.len())).freeze()
    }

    /// The size at the head of the buffer, judged before anything is stored for it.
    fn announced_size(&self, limit: usize) -> Result<usize, FrameError> {
        let Some(Ok(head)) = self.buffer.get(..4).map(<[u8; 4]>::try_from) else {
            return Err(FrameError::CutOff { announced: 4, received: self.buffer.len() });
        };
        match &head {
            _ if self.has_begun => {}
            [0x16, 0x03, ..] => return Err(FrameError::Tls),
            b"GET " | b"HEAD" | b"POST" | b"PUT " | b"DELE" | b"PATC" | b"OPTI" | b"CONN" | b"TRAC"
            | b"PRI " => {
                return Err(FrameError::Http);
            }
            _ => {}
        }
        let size = i32::from_be_bytes(head);
        match usize::try_from(size) {
            Ok(size) if size > limit => Err(FrameError::TooLarge { size, limit }),
            Ok(size) if size > 0 => Ok(size),
            _ => Err(FrameError::Size { size }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameError, FrameReader};

    async fn frames(mut bytes: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        loop {
            let frame = match reader.announcement(&mut bytes, limit).await {
                Ok(Some(size)) => reader.fill(&mut bytes, size, size).await.map(|()| reader.body(size)),
                Ok(None) => return (frames, None),
                Err(error) => Err(error),
            };
            match frame {
                Ok(frame) => frames.push(frame.to_vec()),
                Err(error) => return (frames, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn splits_frames_that_arrive_together() {
        let (frames, error) = frames(b"\0\0\0\x01a\0\0\0\x02bc", 64).await;
        assert_eq!(frames, [b"a".to_vec(), b"bc".to_vec()]);
        assert!(error.is_none());
    }

    #[tokio::test]
    async fn refuses_sizes_before_it_reads_on() {
        for (bytes, expected) in [
            (&b"\0\0\0\0"[..], "a frame announced a size of 0 bytes"),
            (&b"\xff\xff\xff\xff"[..], "a frame announced a size of -1 bytes"),
            (
                &b"\0\0\0\x41"[..],
                "a frame announced 65 bytes; at most 64 are read (socket.request.max.bytes)",
            ),
            (&b"\0\0\0\x02a"[..], "the connection ended after 1 of a frame's 2 bytes"),
            (&b"\0\0"[..], "the connection ended after 2 of a frame's 4 bytes"),
        ] {
            assert_eq!(frames(bytes, 64).await.1.map(|error| error.to_string()).as_deref(), Some(expected));
        }
    }

    #[tokio::test]
    async fn names_other_protocols() {
        assert!(matches!(frames(b"\x16\x03\x01\x02\0\x01", 64).await.1, Some(FrameError::Tls)));
        assert!(matches!(frames(b"GET / HTTP/1.1", 64).await.1, Some(FrameError::Http)));
        assert!(matches!(frames(b"PATCH / HTTP/1.1", 64).await.1, Some(FrameError::Http)));
        let behind_a_frame = frames(b"\0\0\0\x01aGET / HTTP/1.1", 64).await.1;
        assert!(matches!(behind_a_frame, Some(FrameError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn memory_follows_the_bytes_that_arrived() {
        let mut reader = FrameReader::default();
        let announced = 1024 * 1024 * 1024;
        let result = reader.fill(&mut &[0; 100][..], announced, announced).await;
        assert!(matches!(result, Err(FrameError::CutOff { received: 100, .. })));
        assert!(reader.buffer.capacity() <= 2 * super::GROWTH_BYTES_MAX);
    }
}
