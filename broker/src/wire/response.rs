//! A response on its way out: one size, one header, one body, in as many pieces as avoid copying records.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::Encodable;

/// A complete frame, size included, in the order in which its pieces go to the socket.
#[derive(Debug, Default)]
pub struct ResponseFrame {
    /// The pieces, none of them empty.
    pub pieces: Vec<Bytes>,
}

impl ResponseFrame {
    /// All bytes of the frame, size included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// The body of a response could not be written in the version that was asked for: our own mistake.
#[derive(Debug, thiserror::Error)]
#[error("a response could not be encoded in version {version}: {reason}")]
pub struct EncodeError {
    /// The version of the message.
    pub version: i16,
    /// What the encoder said.
    pub reason: String,
}

/// Collects a frame: small fields are written one after another, records are put between them as they are.
#[derive(Debug)]
pub struct FrameBuilder {
    pieces: Vec<Bytes>,
    tail: BytesMut,
}

impl FrameBuilder {
    /// Begins a frame with its header. `is_flexible` says whether that header has tagged fields (header version 1).
    #[must_use]
    pub fn new(correlation_id: i32, is_flexible: bool) -> Self {
        let mut tail = BytesMut::with_capacity(256);
        tail.put_i32(0);
        tail.put_i32(correlation_id);
        if is_flexible {
            tail.put_u8(0);
        }
        Self { pieces: Vec::new(), tail }
    }

    /// Where the next small fields are written.
    pub fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Puts `records` after what was written so far, without copying them.
    pub fn put_records(&mut self, records: Bytes) {
        if records.is_empty() {
            return;
        }
        self.pieces.push(self.tail.split().freeze());
        self.pieces.push(records);
    }

    /// Writes a message of the `kafka-protocol` crate.
    ///
    /// # Errors
    /// When a field is set that `version` does not have.
    pub fn put_message<M: Encodable>(&mut self, message: &M, version: i16) -> Result<(), EncodeError> {
        message
            .encode(&mut self.tail, version)
            .map_err(|error| EncodeError { version, reason: error.to_string() })
    }

    /// The frame, its size filled in.
    ///
    /// # Errors
    /// When it is longer than a frame can be (2 GiB).
    pub fn finish(mut self, version: i16) -> Result<ResponseFrame, EncodeError> {
        let total: usize = self.pieces.iter().map(Bytes::len).sum::<usize>() + self.tail.len();
        let size = i32::try_from(total.saturating_sub(4))
            .map_err(|_| EncodeError { version, reason: format!("it has {total} bytes") })?;
        if !self.tail.is_empty() {
            self.pieces.push(self.tail.freeze());
        }
        if let Some(first) = self.pieces.first_mut() {
            let mut head = BytesMut::from(std::mem::take(first));
            if let Some(slot) = head.get_mut(..4) {
                slot.copy_from_slice(&size.to_be_bytes());
            }
            *first = head.freeze();
        }
        Ok(ResponseFrame { pieces: self.pieces })
    }
}
