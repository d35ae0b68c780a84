//! The pieces of flexible messages (KIP-482), for the messages that are written by hand: lengths are unsigned varints of
//! the length plus one, 0 is null, and every structure ends in tagged fields.

use anyhow::{Context, Result};
use bytes::{BufMut, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::protocol::buf::ByteBuf;
use uuid::Uuid;

/// A base-128 integer of at most 32 bits, least significant group first.
pub(super) fn unsigned_varint<B: ByteBuf>(buffer: &mut B) -> Result<u32> {
    let mut value: u64 = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *buffer.try_get_bytes(1)?.first().context("a byte was taken")?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(u32::try_from(value)?);
        }
    }
    anyhow::bail!("a varint is longer than 5 bytes")
}

/// A text or null.
pub(super) fn nullable_string<B: ByteBuf>(buffer: &mut B) -> Result<Option<StrBytes>> {
    match (unsigned_varint(buffer)? as usize).checked_sub(1) {
        None => Ok(None),
        Some(length) => Ok(Some(StrBytes::from_utf8(buffer.try_get_bytes(length)?)?)),
    }
}

/// A text.
pub(super) fn string<B: ByteBuf>(buffer: &mut B) -> Result<StrBytes> {
    nullable_string(buffer)?.context("a text is null that may not be")
}

/// A list or null. Memory follows the elements that are there, not the count that a peer wrote.
pub(super) fn nullable_list<B: ByteBuf, T>(
    buffer: &mut B,
    mut element: impl FnMut(&mut B) -> Result<T>,
) -> Result<Option<Vec<T>>> {
    let Some(count) = unsigned_varint(buffer)?.checked_sub(1) else { return Ok(None) };
    let mut elements = Vec::new();
    for _ in 0..count {
        elements.push(element(buffer)?);
    }
    Ok(Some(elements))
}

/// A list.
pub(super) fn list<B: ByteBuf, T>(
    buffer: &mut B,
    element: impl FnMut(&mut B) -> Result<T>,
) -> Result<Vec<T>> {
    nullable_list(buffer, element)?.context("a list is null that may not be")
}

/// A 32-bit integer.
pub(super) fn int32<B: ByteBuf>(buffer: &mut B) -> Result<i32> {
    Ok(i32::from_be_bytes(buffer.try_get_bytes(4)?.as_ref().try_into()?))
}

/// A 64-bit integer.
pub(super) fn int64<B: ByteBuf>(buffer: &mut B) -> Result<i64> {
    Ok(i64::from_be_bytes(buffer.try_get_bytes(8)?.as_ref().try_into()?))
}

/// A truth value.
pub(super) fn boolean<B: ByteBuf>(buffer: &mut B) -> Result<bool> {
    Ok(buffer.try_get_bytes(1)?.first().context("a byte was taken")? != &0)
}

/// The id of a topic.
pub(super) fn uuid<B: ByteBuf>(buffer: &mut B) -> Result<Uuid> {
    Ok(Uuid::from_bytes(buffer.try_get_bytes(16)?.as_ref().try_into()?))
}

/// Tagged fields, none of which is known.
pub(super) fn skip_tagged_fields<B: ByteBuf>(buffer: &mut B) -> Result<()> {
    for _ in 0..unsigned_varint(buffer)? {
        let _tag = unsigned_varint(buffer)?;
        let size = unsigned_varint(buffer)? as usize;
        buffer.try_get_bytes(size)?;
    }
    Ok(())
}

/// Writes what [`unsigned_varint`] reads.
pub(super) fn put_unsigned_varint(buffer: &mut BytesMut, value: usize) {
    let mut rest = value;
    while rest >= 0x80 {
        buffer.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    buffer.put_u8(rest as u8);
}

/// Writes what [`nullable_string`] reads.
pub(super) fn put_nullable_string(buffer: &mut BytesMut, text: Option<&str>) {
    put_unsigned_varint(buffer, text.map_or(0, |text| text.len() + 1));
    buffer.put_slice(text.unwrap_or_default().as_bytes());
}

/// Writes how many elements of a list follow.
pub(super) fn put_list_length(buffer: &mut BytesMut, length: usize) {
    put_unsigned_varint(buffer, length + 1);
}

/// Writes that there are no tagged fields.
pub(super) fn put_no_tagged_fields(buffer: &mut BytesMut) {
    buffer.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::{list, nullable_string, put_nullable_string, put_unsigned_varint, string, unsigned_varint};
    use bytes::{Bytes, BytesMut};

    #[test]
    fn varints_and_texts_survive_their_encoding() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u32::MAX as usize] {
            let mut buffer = BytesMut::new();
            put_unsigned_varint(&mut buffer, value);
            assert_eq!(unsigned_varint(&mut buffer).expect("a varint") as usize, value);
        }
        for text in [None, Some(""), Some("group")] {
            let mut buffer = BytesMut::new();
            put_nullable_string(&mut buffer, text);
            assert_eq!(nullable_string(&mut buffer).expect("a text").as_deref(), text);
        }
    }

    #[test]
    fn what_a_peer_makes_up_is_refused_without_memory() {
        // Four billion elements, of which none follows.
        let mut buffer = Bytes::from_static(b"\xff\xff\xff\xff\x0f");
        assert!(list(&mut buffer, unsigned_varint).is_err());
        assert!(string(&mut Bytes::from_static(b"\0")).is_err(), "null where nothing may be null");
        assert!(string(&mut Bytes::from_static(b"\x09abc")).is_err(), "cut off");
        assert!(unsigned_varint(&mut Bytes::from_static(b"\xff\xff\xff\xff\xff\x01")).is_err());
    }
}
