//! Snappy in the two shapes that Kafka reads: the blocks of the Java library's `SnappyOutputStream` (what the
//! Java client writes), and one raw block (what librdkafka and others write).
//!
//! ```text
//! 0  82 'S' 'N' 'A' 'P' 'P' 'Y' 00   magic
//! 8  i32                             version, 1
//! 12 i32                             lowest version that can read it, 1
//! 16 and on: i32 length, a raw snappy block of that length
//! ```
//!
//! Source: `SnappyCompression.java`, `org.xerial.snappy.SnappyCodec`.

use super::{Codec, DecompressError};

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const VERSION: i32 = 1;
const STREAM_HEADER_LEN: usize = 16;
/// Uncompressed bytes of a block: what Kafka's Java client uses. Any size is read.
const BLOCK: usize = 32 * 1024;

/// Blocks as they are on the wire, up to the first fault.
pub(super) type Blocks<'a> = Box<dyn Iterator<Item = Result<&'a [u8], DecompressError>> + 'a>;

pub(super) fn decompress(bytes: &[u8], cap: usize) -> Result<Vec<u8>, DecompressError> {
    if !bytes.starts_with(MAGIC) {
        let length = declared(bytes)?;
        return if length > cap { Err(DecompressError::TooLarge { cap }) } else { open(bytes, length) };
    }
    let mut output = Vec::with_capacity(declared_in_all(bytes, cap)?);
    for block in blocks(bytes)? {
        output.extend_from_slice(&open_block(block?)?);
    }
    Ok(output)
}

/// What the blocks of a stream declare, together, known before any output is made.
fn declared_in_all(bytes: &[u8], cap: usize) -> Result<usize, DecompressError> {
    let mut total = 0_usize;
    for block in blocks(bytes)? {
        total = total.saturating_add(declared(block?)?);
        if total > cap {
            return Err(DecompressError::TooLarge { cap });
        }
    }
    Ok(total)
}

/// The blocks of a stream, to be opened one by one; together they are no longer than `cap`.
pub(super) fn checked_blocks(bytes: &[u8], cap: usize) -> Result<Blocks<'_>, DecompressError> {
    if bytes.starts_with(MAGIC) {
        declared_in_all(bytes, cap)?;
        return Ok(Box::new(blocks(bytes)?));
    }
    match declared(bytes)? > cap {
        true => Err(DecompressError::TooLarge { cap }),
        false => Ok(Box::new(std::iter::once(Ok(bytes)))),
    }
}

/// The output of one block.
pub(super) fn open_block(block: &[u8]) -> Result<Vec<u8>, DecompressError> {
    open(block, declared(block)?)
}

pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>, snap::Error> {
    let mut output = Vec::with_capacity(STREAM_HEADER_LEN + bytes.len() / 2);
    output.extend_from_slice(MAGIC);
    output.extend_from_slice(&VERSION.to_be_bytes());
    output.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(BLOCK) {
        let block = encoder.compress_vec(block)?;
        output.extend_from_slice(&u32::try_from(block.len()).unwrap_or(u32::MAX).to_be_bytes());
        output.extend_from_slice(&block);
    }
    Ok(output)
}

/// The raw blocks of a stream, in order.
fn blocks(bytes: &[u8]) -> Result<impl Iterator<Item = Result<&[u8], DecompressError>>, DecompressError> {
    let mut rest = bytes.get(STREAM_HEADER_LEN..).ok_or_else(|| corrupt("the stream's header is cut off"))?;
    Ok(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let block = split_block(rest);
        rest = block.as_ref().map_or(&[][..], |(_, rest)| rest);
        Some(block.map(|(block, _)| block))
    }))
}

fn split_block(rest: &[u8]) -> Result<(&[u8], &[u8]), DecompressError> {
    // Streams may be joined end to end: the next one's header stands where a block would.
    let rest = if rest.starts_with(MAGIC) { rest.get(STREAM_HEADER_LEN..).unwrap_or(&[]) } else { rest };
    let (length, rest) =
        rest.split_first_chunk::<4>().ok_or_else(|| corrupt("a block's length is cut off"))?;
    let length =
        usize::try_from(i32::from_be_bytes(*length)).map_err(|_| corrupt("a block's length is negative"))?;
    rest.split_at_checked(length).ok_or_else(|| corrupt("a block is cut off"))
}

/// How much output a raw block says it has.
fn declared(block: &[u8]) -> Result<usize, DecompressError> {
    snap::raw::decompress_len(block).map_err(|error| corrupt(&error.to_string()))
}

fn open(block: &[u8], length: usize) -> Result<Vec<u8>, DecompressError> {
    // A raw block of n bytes cannot hold more than 64 n / 3 bytes of output (a copy of 64 bytes takes three),
    // so a larger declared length is false; refusing it here keeps a short lie from reserving memory.
    if length > block.len().saturating_mul(22) {
        return Err(corrupt("a block declares more output than it can hold"));
    }
    snap::raw::Decoder::new().decompress_vec(block).map_err(|error| corrupt(&error.to_string()))
}

fn corrupt(reason: &str) -> DecompressError {
    DecompressError::Corrupt { codec: Codec::Snappy, reason: reason.to_owned() }
}
