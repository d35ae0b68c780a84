//! Batches that are small on the wire and huge once they are decompressed.
//!
//! The topic is compacted, so that the broker has to look at every record's key; on others it opens such batches only where
//! a header cannot vouch for the records.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use client_tests::wire::{self, Connection, batch};
use kafka_protocol::error::ResponseError;

use crate::{GROWTH_MAX, LIMIT, Siege};

/// The version of Produce that knows every codec.
const PRODUCE: i16 = 9;
/// What the bombs open into: more than the broker opens.
const OPENED: usize = 80 << 20;
/// What repeats, until it is that much.
const PIECE: usize = 1 << 20;
/// How many clients send the same bomb at once.
const CLIENTS: usize = 8;
const TOPIC: &str = "compacted";

/// The first bytes of one record with a value of `value` bytes, of which all are zero; headers end it.
fn record_head(value: usize) -> Result<Vec<u8>> {
    let mut body = vec![0, 0, 0];
    put_varint(&mut body, 3);
    body.extend(b"key");
    put_varint(&mut body, i64::try_from(value)?);
    let mut head = Vec::new();
    // The number of headers is a zero too.
    put_varint(&mut head, i64::try_from(body.len() + value + 1)?);
    head.extend(body);
    Ok(head)
}

fn put_varint(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = value.cast_unsigned() << 1;
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// One stream after the other: what each of these formats allows.
fn joined(compress: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let mut joined = compress(&record_head(OPENED)?)?;
    let piece = compress(&vec![0; PIECE])?;
    (0..OPENED / PIECE).for_each(|_| joined.extend(&piece));
    joined.extend(compress(&[0])?);
    Ok(joined)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// The blocks of the Java library, each of which says how long it is.
fn snappy() -> Result<Vec<u8>> {
    let mut stream = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    let head = record_head(OPENED)?;
    let piece = snap::raw::Encoder::new().compress_vec(&vec![0; PIECE])?;
    let pieces = std::iter::repeat_n(&piece, OPENED / PIECE);
    let (head, end) =
        (snap::raw::Encoder::new().compress_vec(&head)?, snap::raw::Encoder::new().compress_vec(&[0])?);
    for block in std::iter::once(&head).chain(pieces).chain([&end]) {
        stream.extend(u32::try_from(block.len())?.to_be_bytes());
        stream.extend(block);
    }
    Ok(stream)
}

/// One frame, as Kafka's clients write it.
fn lz4() -> Result<Vec<u8>> {
    let frame = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max4MB);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(&record_head(OPENED)?)?;
    let piece = vec![0; PIECE];
    for _ in 0..OPENED / PIECE {
        encoder.write_all(&piece)?;
    }
    encoder.write_all(&[0])?;
    Ok(encoder.finish()?)
}

fn bombs() -> Result<Vec<(&'static str, i16, Vec<u8>)>> {
    Ok(vec![
        ("gzip", 1, joined(gzip)?),
        ("snappy", 2, snappy()?),
        ("lz4", 3, lz4()?),
        ("zstd", 4, joined(|bytes| Ok(zstd::bulk::compress(bytes, 19)?))?),
    ])
}

/// A batch of one record with these compressed bytes.
fn packed(codec: i16, records: &[u8]) -> Result<Bytes> {
    let plain = batch::plain(1, 1)?;
    let head = plain.get(..batch::RECORDS).context("a batch has a head")?;
    let bytes = [head, records].concat();
    let length = i32::try_from(bytes.len() - batch::LENGTH - 4)?;
    let bytes = batch::with_field(&bytes, batch::LENGTH, &length.to_be_bytes())?;
    batch::with_checked_field(&bytes, batch::ATTRIBUTES, &codec.to_be_bytes())
}

fn create_topic(siege: &Siege) -> Result<()> {
    let mut connection = Connection::open_within(siege.node.bootstrap(), LIMIT)?;
    // Snappy makes no more than 22 of one byte, so that it takes more of them.
    let settings = [("cleanup.policy", "compact"), ("max.message.bytes", "8388608")];
    let created = wire::create_topic(&mut connection, TOPIC, 1, &settings)?;
    ensure!(created == 0, "CreateTopics answered {created}");
    Ok(())
}

fn explode(bootstrap: &str, records: &Bytes, what: &str, expected: i16) -> Result<()> {
    let mut connection = Connection::open_within(bootstrap, 2 * LIMIT)?;
    let answer =
        wire::produce(&mut connection, PRODUCE, &wire::produce_request(TOPIC, 0, -1, records.clone()))?;
    ensure!(answer.error_code == expected, "{what}: expected {expected}, the answer is {answer:?}");
    Ok(())
}

#[test]
fn bombs_of_every_codec_are_refused_before_they_fill_the_memory() -> Result<()> {
    let too_large = ResponseError::MessageTooLarge.code();
    for (name, codec, records) in bombs()? {
        let Some(siege) = Siege::begin(&[], 1000, CLIENTS)? else { return Ok(()) };
        create_topic(&siege)?;
        let bomb = packed(codec, &records)?;
        eprintln!("{name}: {} KiB that open into {} MiB", bomb.len() / 1024, OPENED >> 20);
        std::thread::scope(|scope| {
            let bootstrap = siege.node.bootstrap();
            let clients: Vec<_> =
                (0..CLIENTS).map(|_| scope.spawn(|| explode(bootstrap, &bomb, name, too_large))).collect();
            siege.expect_service(&clients)?;
            clients.into_iter().try_for_each(|client| {
                client.join().map_err(|_panic| anyhow::anyhow!("a client panicked"))?
            })
        })?;
        siege.end(GROWTH_MAX).context(name)?;
    }
    Ok(())
}

/// Message sets before version 2 nest: a compressed message holds messages that are compressed again. None is opened.
#[test]
fn bombs_in_bombs_of_the_old_format_are_refused_unopened() -> Result<()> {
    let invalid = ResponseError::InvalidRecord.code();
    let Some(siege) = Siege::begin(&[], 1000, CLIENTS)? else { return Ok(()) };
    create_topic(&siege)?;
    let inner = gzip(&vec![0; 64 * PIECE])?;
    for magic in [0_u8, 1] {
        let nested = old_message(magic, 1, &gzip(&old_message(magic, 1, &inner)?)?)?;
        explode(siege.node.bootstrap(), &nested.into(), &format!("magic {magic}"), invalid)?;
    }
    siege.expect_service(&())?;
    siege.end(GROWTH_MAX)
}

/// A message as Kafka wrote it before 0.11: offset, size, CRC-32, magic, attributes, the time from version 1 on, no key, value.
fn old_message(magic: u8, codec: u8, value: &[u8]) -> Result<Vec<u8>> {
    let mut message = vec![magic, codec];
    if magic > 0 {
        message.extend(0_i64.to_be_bytes());
    }
    message.extend((-1_i32).to_be_bytes());
    message.extend(i32::try_from(value.len())?.to_be_bytes());
    message.extend(value);
    let crc = u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &message))?;
    let mut bytes = 0_i64.to_be_bytes().to_vec();
    bytes.extend(i32::try_from(message.len() + 4)?.to_be_bytes());
    bytes.extend(crc.to_be_bytes());
    bytes.extend(message);
    Ok(bytes)
}
