//! Reads fields from bytes that nobody vouches for.

use std::sync::Arc;

use bytes::Bytes;
use storage::ids::{PartitionIndex, TopicId};

use super::{CodecError, TextTooLong};

/// The fields that are left. A field is read by the name that an error shall give it.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    /// Over fields that are not flexible.
    pub(super) fn inflexible(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, is_flexible: false }
    }

    /// Over what is left, as flexible fields.
    pub(super) fn flexible(self) -> Self {
        Self { is_flexible: true, ..self }
    }

    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(CodecError::Truncated { field })?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn i8(&mut self, field: &'static str) -> Result<i8, CodecError> {
        Ok(i8::from_be_bytes(self.take(field)?))
    }

    pub(super) fn i16(&mut self, field: &'static str) -> Result<i16, CodecError> {
        Ok(i16::from_be_bytes(self.take(field)?))
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, CodecError> {
        Ok(i32::from_be_bytes(self.take(field)?))
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, CodecError> {
        Ok(i64::from_be_bytes(self.take(field)?))
    }

    pub(super) fn partition(&mut self) -> Result<PartitionIndex, CodecError> {
        self.i32("a partition").map(PartitionIndex)
    }

    pub(super) fn topic_id(&mut self) -> Result<TopicId, CodecError> {
        self.take("topic_id").map(TopicId::from_bytes)
    }

    /// An unsigned integer of at most 32 bits, seven of them a byte, the lowest first.
    fn varint(&mut self, field: &'static str) -> Result<u32, CodecError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take(field)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| CodecError::BadVarint { field });
            }
        }
        Err(CodecError::BadVarint { field })
    }

    /// The length of a text, of bytes or of an array; -1 for null.
    fn length(
        &mut self,
        field: &'static str,
        inflexible: fn(&mut Self, &'static str) -> Result<i64, CodecError>,
    ) -> Result<i64, CodecError> {
        if self.is_flexible { Ok(i64::from(self.varint(field)?) - 1) } else { inflexible(self, field) }
    }

    fn sized(&mut self, field: &'static str, length: i64) -> Result<&'a [u8], CodecError> {
        let size = usize::try_from(length).map_err(|_| CodecError::BadLength { field, length })?;
        let (bytes, rest) = self.rest.split_at_checked(size).ok_or(CodecError::Truncated { field })?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A text that may be null.
    pub(super) fn nullable_string(&mut self, field: &'static str) -> Result<Option<Arc<str>>, CodecError> {
        match self.length(field, |reader, field| reader.i16(field).map(i64::from))? {
            -1 => Ok(None),
            length if length > TextTooLong::BYTES_MAX as i64 => Err(CodecError::BadLength { field, length }),
            length => {
                let text = std::str::from_utf8(self.sized(field, length)?);
                text.map(|text| Some(text.into())).map_err(|_| CodecError::NotUtf8 { field })
            }
        }
    }

    /// A text.
    pub(super) fn string(&mut self, field: &'static str) -> Result<Arc<str>, CodecError> {
        self.nullable_string(field)?.ok_or(CodecError::BadLength { field, length: -1 })
    }

    /// Bytes.
    pub(super) fn bytes(&mut self, field: &'static str) -> Result<Bytes, CodecError> {
        let length = self.length(field, |reader, field| reader.i32(field).map(i64::from))?;
        self.sized(field, length).map(Bytes::copy_from_slice)
    }

    /// Elements that may be null. Nothing is reserved for their count; each takes a byte at least.
    pub(super) fn nullable_array<T>(
        &mut self,
        field: &'static str,
        mut element: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Option<Vec<T>>, CodecError> {
        match self.length(field, |reader, field| reader.i32(field).map(i64::from))? {
            -1 => Ok(None),
            length if length < 0 => Err(CodecError::BadLength { field, length }),
            length => (0..length).map(|_| element(self)).collect::<Result<_, _>>().map(Some),
        }
    }

    /// Elements.
    pub(super) fn array<T>(
        &mut self,
        field: &'static str,
        element: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        self.nullable_array(field, element)?.ok_or(CodecError::BadLength { field, length: -1 })
    }

    /// Whether a structure that may be null is there: a byte other than 0 says so.
    pub(super) fn is_present(&mut self, field: &'static str) -> Result<bool, CodecError> {
        Ok(self.varint(field)? != 0)
    }

    /// The tags at the end of a flexible structure: `known` is given each tag with a reader of its bytes, and leaves
    /// those that it does not know. Fields that are not flexible have none.
    pub(super) fn tags(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        if !self.is_flexible {
            return Ok(());
        }
        for _ in 0..self.varint("the count of tags")? {
            let tag = self.varint("a tag")?;
            let size = self.varint("the size of a tag")?;
            let bytes = self.sized("a tagged field", i64::from(size))?;
            known(tag, &mut Self { rest: bytes, is_flexible: true })?;
        }
        Ok(())
    }

    /// The tags of a structure of which none is known.
    pub(super) fn no_tags(&mut self) -> Result<(), CodecError> {
        self.tags(|_, _| Ok(()))
    }
}
