//! The codecs of record batches, as Kafka's Java client reads and writes them.
//!
//! Invariants: [`decompress`] never holds more output than its cap, whatever the input declares, and never
//! panics. A batch's records are compressed as one stream of its codec.
//!
//! Absent: which batches are decompressed at all ([`crate::batch::validate()`] decides).

use std::io::{Read, Write};

use thiserror::Error;

mod opened;
mod snappy;

pub(crate) use opened::Opened;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// Not at all.
    None,
    /// Gzip (RFC 1952).
    Gzip,
    /// Snappy, in the blocks of the Java library's stream or raw.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard. Source: KIP-110.
    Zstd,
}

impl Codec {
    /// The codec with this number in a batch's attributes, if there is one.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The level at which records are compressed where no topic says another: Kafka's defaults.
    #[must_use]
    pub fn default_level(self) -> i32 {
        match self {
            Self::Zstd => 3,
            Self::None | Self::Gzip | Self::Snappy | Self::Lz4 => -1,
        }
    }

    /// The number in a batch's attributes.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}

/// Why compressed bytes cannot be opened.
#[derive(Debug, Error)]
pub enum DecompressError {
    /// More output than allowed, or declared so.
    #[error("the records are more than {cap} bytes when decompressed")]
    TooLarge {
        /// The most output allowed, in bytes.
        cap: usize,
    },
    /// The bytes are not of this codec, or cut off.
    #[error("the records are no {codec:?} stream: {reason}")]
    Corrupt {
        /// The codec that the batch names.
        codec: Codec,
        /// What the codec's library says.
        reason: String,
    },
}

/// Why bytes could not be compressed: a library failed, which none does on memory that suffices.
#[derive(Debug, Error)]
#[error("cannot compress with {codec:?}: {reason}")]
pub struct CompressError {
    /// The codec asked for.
    pub codec: Codec,
    /// What its library says.
    pub reason: String,
}

/// The output of `bytes`, at most `cap` bytes of it.
///
/// # Errors
/// [`DecompressError::TooLarge`] past the cap, [`DecompressError::Corrupt`] where the stream is none or is
/// cut off.
pub fn decompress(codec: Codec, bytes: &[u8], cap: usize) -> Result<Vec<u8>, DecompressError> {
    match codec {
        Codec::None if bytes.len() > cap => Err(DecompressError::TooLarge { cap }),
        Codec::None => Ok(bytes.to_vec()),
        Codec::Snappy => snappy::decompress(bytes, cap),
        Codec::Gzip | Codec::Lz4 | Codec::Zstd => read_capped(codec, reader(codec, bytes)?, cap),
    }
}

/// The output of `bytes` as a stream without an end of its own, of all codecs but Snappy.
fn reader(codec: Codec, bytes: &[u8]) -> Result<Box<dyn Read + '_>, DecompressError> {
    let corrupt = |error: std::io::Error| DecompressError::Corrupt { codec, reason: error.to_string() };
    match codec {
        Codec::None => Ok(Box::new(bytes)),
        Codec::Gzip => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(bytes))),
        Codec::Lz4 => Ok(Box::new(lz4_flex::frame::FrameDecoder::new(bytes))),
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(corrupt)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
            Ok(Box::new(decoder))
        }
        Codec::Snappy => unreachable!("Snappy comes in blocks, which say how long they are"),
    }
}

/// The largest window that a zstd stream may ask for, as a power of two: 128 MiB, which levels up to 22 use
/// and Java's library takes. Larger lets a few bytes of input reserve that much address space (memory is
/// touched only as output fills it, and that is capped); smaller refuses what clients with the highest levels
/// send.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Output is read in steps of this size: larger wastes memory on small batches, smaller costs calls.
const STEP: usize = 64 * 1024;

fn read_capped(codec: Codec, mut stream: impl Read, cap: usize) -> Result<Vec<u8>, DecompressError> {
    let mut output = Vec::new();
    loop {
        // One byte more than the cap tells "exactly the cap" from "too much".
        let room = cap.saturating_add(1).saturating_sub(output.len()).min(STEP);
        let read = stream.by_ref().take(room as u64).read_to_end(&mut output);
        let read = read.map_err(|error| DecompressError::Corrupt { codec, reason: error.to_string() })?;
        if output.len() > cap {
            return Err(DecompressError::TooLarge { cap });
        }
        if read < room {
            return Ok(output);
        }
    }
}

/// `bytes` as one stream of `codec`. `level` is in the codec's own scale; gzip takes -1 for its default, and
/// snappy has none.
///
/// # Errors
/// [`CompressError`] where the codec's library fails.
pub fn compress(codec: Codec, level: i32, bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
    let failed = |reason: String| CompressError { codec, reason };
    match codec {
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => {
            let level = u32::try_from(level)
                .map_or_else(|_| flate2::Compression::default(), flate2::Compression::new);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder
                .write_all(bytes)
                .and_then(|()| encoder.finish())
                .map_err(|error| failed(error.to_string()))
        }
        Codec::Snappy => snappy::compress(bytes).map_err(|error| failed(error.to_string())),
        Codec::Lz4 if is_lz4_high(level) => {
            compress_lz4_high(level, bytes).map_err(|error| failed(error.to_string()))
        }
        Codec::Lz4 => {
            // Independent blocks of 64 KiB without checksums, as Kafka's client writes them.
            let frame = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max64KB)
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
            encoder.write_all(bytes).map_err(|error| failed(error.to_string()))?;
            encoder.finish().map_err(|error| failed(error.to_string()))
        }
        Codec::Zstd => zstd::bulk::compress(bytes, level).map_err(|error| failed(error.to_string())),
    }
}

/// Whether LZ4 takes its time at that level. The default of Kafka's scale, 9, is the quick way, and so are the two below the
/// least that takes any. Source: `Lz4BlockOutputStream.java`.
fn is_lz4_high(level: i32) -> bool {
    level >= 3 && level != 9
}

/// The same frame as of the quick way, by the C library: lz4_flex has no other way than that.
fn compress_lz4_high(level: i32, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = lz4::EncoderBuilder::new()
        .level(u32::try_from(level).unwrap_or(0))
        .block_size(lz4::BlockSize::Max64KB)
        .block_mode(lz4::BlockMode::Independent)
        .checksum(lz4::ContentChecksum::NoChecksum)
        .build(Vec::new())?;
    encoder.write_all(bytes)?;
    let (packed, finished) = encoder.finish();
    finished.map(|()| packed)
}

#[cfg(test)]
mod tests;
