//! Writes fields.

use bytes::Bytes;
use storage::ids::TopicId;

use super::TextTooLong;

/// The bytes so far. A text that is too long is remembered, and told at the end.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    is_flexible: bool,
    fault: Option<TextTooLong>,
}

impl Writer {
    /// Of fields that are not flexible.
    pub(super) fn inflexible() -> Self {
        Self { bytes: Vec::new(), is_flexible: false, fault: None }
    }

    /// Of flexible fields.
    pub(super) fn flexible() -> Self {
        Self { is_flexible: true, ..Self::inflexible() }
    }

    /// What was written.
    ///
    /// # Errors
    /// The first text that was too long.
    pub(super) fn finish(self) -> Result<Bytes, TextTooLong> {
        self.fault.map_or(Ok(self.bytes.into()), Err)
    }

    pub(super) fn i8(&mut self, value: i8) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn topic_id(&mut self, value: TopicId) {
        self.bytes.extend_from_slice(value.0.as_bytes());
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A text that may be null.
    pub(super) fn nullable_string(&mut self, field: &'static str, text: Option<&str>) {
        let bytes = text.map(str::as_bytes);
        let length = bytes.map_or(0, <[u8]>::len);
        if length > TextTooLong::BYTES_MAX {
            self.fault.get_or_insert(TextTooLong { field, length });
            return;
        }
        if self.is_flexible {
            self.varint(bytes.map_or(0, |bytes| bytes.len() as u32 + 1));
        } else {
            self.i16(bytes.map_or(-1, |bytes| bytes.len() as i16));
        }
        self.bytes.extend_from_slice(bytes.unwrap_or_default());
    }

    /// A text.
    pub(super) fn string(&mut self, field: &'static str, text: &str) {
        self.nullable_string(field, Some(text));
    }

    fn length(&mut self, length: usize) {
        let length = i32::try_from(length).expect("what a record holds came in frames of less than 2 GiB");
        if self.is_flexible { self.varint(length.unsigned_abs() + 1) } else { self.i32(length) }
    }

    /// Bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Elements.
    pub(super) fn array<T>(&mut self, elements: &[T], mut element: impl FnMut(&mut Self, &T)) {
        self.length(elements.len());
        for each in elements {
            element(self, each);
        }
    }

    /// No tags, at the end of a flexible structure.
    pub(super) fn no_tags(&mut self) {
        self.varint(0);
    }

    /// Tag 0 and no other, at the end of a flexible structure. `None` where it has its default, which is not written.
    pub(super) fn tag_0(&mut self, field: Option<impl FnOnce(&mut Self)>) {
        let Some(field) = field else { return self.no_tags() };
        let mut inner = Self::flexible();
        field(&mut inner);
        self.varint(1);
        self.varint(0);
        self.varint(inner.bytes.len() as u32);
        self.bytes.append(&mut inner.bytes);
        self.fault = self.fault.take().or(inner.fault);
    }

    /// Whether a structure that may be null follows.
    pub(super) fn is_present(&mut self, is_present: bool) {
        self.varint(u32::from(is_present));
    }
}
