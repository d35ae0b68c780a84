//! Compressed bytes that are opened piece by piece, for those who look at the output once and keep nothing of it.
//!
//! Invariant: no more of the output is in memory than one piece, which is 64 KiB, or a block of Snappy (at most 22 times
//! its size on the wire), beside what the codec's own window takes.

use std::io::{ErrorKind, Read};

use super::{Codec, DecompressError, STEP, reader, snappy};

/// The output of a stream, from its start on.
pub(crate) struct Opened<'a> {
    codec: Codec,
    cap: usize,
    /// How much output there was so far, in bytes.
    total: usize,
    source: Source<'a>,
    piece: Vec<u8>,
    /// Where the unread bytes of the piece begin.
    position: usize,
}

enum Source<'a> {
    Stream(Box<dyn Read + 'a>),
    /// Blocks that each say how long they are, together no longer than the cap.
    Blocks(snappy::Blocks<'a>),
}

impl<'a> Opened<'a> {
    /// The output of `bytes`, of which at most `cap` bytes are given.
    ///
    /// # Errors
    /// Where it is known from the first bytes on that there is no such stream, or that it is longer.
    pub(crate) fn new(codec: Codec, bytes: &'a [u8], cap: usize) -> Result<Self, DecompressError> {
        let source = match codec {
            Codec::Snappy => Source::Blocks(snappy::checked_blocks(bytes, cap)?),
            Codec::None | Codec::Gzip | Codec::Lz4 | Codec::Zstd => Source::Stream(reader(codec, bytes)?),
        };
        Ok(Self { codec, cap, total: 0, source, piece: Vec::new(), position: 0 })
    }

    /// What follows, at least one byte of it; empty at the end.
    ///
    /// # Errors
    /// As [`super::decompress`].
    pub(crate) fn unread(&mut self) -> Result<&[u8], DecompressError> {
        while self.position >= self.piece.len() {
            self.position = 0;
            if !self.read_piece()? {
                self.piece.clear();
                break;
            }
            self.total = self.total.saturating_add(self.piece.len());
            if self.total > self.cap {
                return Err(DecompressError::TooLarge { cap: self.cap });
            }
        }
        Ok(self.piece.get(self.position..).unwrap_or_default())
    }

    /// Goes on behind `count` of the bytes that were given last.
    pub(crate) fn consume(&mut self, count: usize) {
        self.position = self.position.saturating_add(count);
    }

    /// Whether there was another piece, which may be empty.
    fn read_piece(&mut self) -> Result<bool, DecompressError> {
        match &mut self.source {
            Source::Blocks(blocks) => match blocks.next() {
                None => Ok(false),
                Some(block) => {
                    self.piece = snappy::open_block(block?)?;
                    Ok(true)
                }
            },
            Source::Stream(stream) => {
                self.piece.resize(STEP, 0);
                let read = loop {
                    match stream.read(&mut self.piece) {
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        other => break other,
                    }
                };
                let codec = self.codec;
                let read =
                    read.map_err(|error| DecompressError::Corrupt { codec, reason: error.to_string() })?;
                self.piece.truncate(read);
                Ok(read > 0)
            }
        }
    }
}
