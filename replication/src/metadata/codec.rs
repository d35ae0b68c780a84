//! Reading and writing the fields of a metadata record. Integers are big-endian.
//!
//! The reader never trusts a length: it is compared with the bytes that are left before anything is allocated.

use storage::ids::{BrokerId, TopicId};

/// Why bytes are not the record that they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field ends behind the end of the record.
    #[error("the record ends within a field")]
    Truncated,
    /// Bytes follow the last field.
    #[error("{extra} bytes follow the last field")]
    TrailingBytes {
        /// How many bytes are left over.
        extra: usize,
    },
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A byte that selects a variant has no meaning.
    #[error("{value} is no {what}")]
    UnknownVariant {
        /// What the byte should select.
        what: &'static str,
        /// The byte.
        value: u8,
    },
    /// A record type that this version does not know.
    #[error("record type {record_type} is not known to this version of Ottla")]
    UnknownRecordType {
        /// The type found.
        record_type: u8,
    },
    /// A version of a known record type that this version does not know.
    #[error("version {version} of record type {record_type} is not known to this version of Ottla")]
    UnknownVersion {
        /// The type found.
        record_type: u8,
        /// The version found.
        version: u8,
    },
}

/// Takes fields off the front of a slice.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.bytes(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn topic_id(&mut self) -> Result<TopicId, DecodeError> {
        self.array().map(TopicId::from_bytes)
    }

    pub(super) fn string(&mut self) -> Result<String, DecodeError> {
        let length = self.u32()? as usize;
        let text = std::str::from_utf8(self.bytes(length)?).map_err(|_| DecodeError::NotUtf8)?;
        Ok(text.to_owned())
    }

    pub(super) fn uuid(&mut self) -> Result<uuid::Uuid, DecodeError> {
        self.array().map(uuid::Uuid::from_bytes)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::UnknownVariant { what: "truth value", value }),
        }
    }

    /// `None` for a 0, what `read` returns for a 1.
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            value => Err(DecodeError::UnknownVariant { what: "presence of an optional field", value }),
        }
    }

    /// A count and as many elements of at least `element_len` bytes each.
    pub(super) fn list<T>(
        &mut self,
        element_len: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.u32()? as usize;
        if count.saturating_mul(element_len) > self.remaining() {
            return Err(DecodeError::Truncated);
        }
        (0..count).map(|_| read(self)).collect()
    }

    pub(super) fn brokers(&mut self) -> Result<Vec<BrokerId>, DecodeError> {
        self.list(4, |reader| reader.i32().map(BrokerId))
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes { extra: self.bytes.len() })
        }
    }
}

/// The length of a collection that the format limits to 32 bits.
pub(super) fn length(len: usize) -> u32 {
    u32::try_from(len).expect("no record of the controller comes near 4 GiB")
}

pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&length(text.len()).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

pub(super) fn put_brokers(out: &mut Vec<u8>, brokers: &[BrokerId]) {
    out.extend_from_slice(&length(brokers.len()).to_be_bytes());
    for broker in brokers {
        out.extend_from_slice(&broker.0.to_be_bytes());
    }
}
