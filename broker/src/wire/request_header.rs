//! The head of a request, read before anything else of it is believed.
//!
//! ```text
//! api_key int16 | api_version int16 | correlation_id int32 | client_id nullable string | [tagged fields]
//! ```
//!
//! The client id is never in the compact form, and the tagged fields are there from header version 2 on.
//! Source: `RequestHeader.json`, KIP-482.

use bytes::Bytes;
use std::ops::Range;

/// The key, the version and the number of a request: enough to judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPrefix {
    /// Which API is called.
    pub api_key: i16,
    /// In which version its request is written.
    pub api_version: i16,
    /// The client's number for the request, sent back with the response.
    pub correlation_id: i32,
}

/// A request header could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request's header is cut off or malformed")]
pub struct MalformedHeader;

impl RequestPrefix {
    /// Reads the first eight bytes of `frame`.
    ///
    /// # Errors
    /// When there are fewer than eight.
    pub fn read(frame: &[u8]) -> Result<Self, MalformedHeader> {
        let mut cursor = Cursor { bytes: frame, position: 0 };
        Ok(Self {
            api_key: i16::from_be_bytes(cursor.array()?),
            api_version: i16::from_be_bytes(cursor.array()?),
            correlation_id: i32::from_be_bytes(cursor.array()?),
        })
    }
}

/// Splits `frame` into the client's id (empty where it is null) and the request's body.
///
/// `is_flexible` says whether the header has tagged fields (header version 2).
///
/// # Errors
/// When the header is cut off, or the client id is not UTF-8.
pub fn split_client_id(frame: &Bytes, is_flexible: bool) -> Result<(String, Bytes), MalformedHeader> {
    let mut cursor = Cursor { bytes: frame, position: 8 };
    let client_id = match i16::from_be_bytes(cursor.array()?) {
        -1 => "",
        length => {
            let length = usize::try_from(length).map_err(|_negative| MalformedHeader)?;
            let text = cursor.take(length)?;
            std::str::from_utf8(text).map_err(|_not_text| MalformedHeader)?
        }
    };
    if is_flexible {
        for _ in 0..cursor.unsigned_varint()? {
            let _tag = cursor.unsigned_varint()?;
            let size = cursor.unsigned_varint()? as usize;
            cursor.take(size)?;
        }
    }
    let position = cursor.position;
    Ok((client_id.to_owned(), frame.slice(position..)))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], MalformedHeader> {
        let end = self.position.checked_add(count).ok_or(MalformedHeader)?;
        let range: Range<usize> = self.position..end;
        let taken = self.bytes.get(range).ok_or(MalformedHeader)?;
        self.position = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedHeader> {
        self.take(N)?.try_into().map_err(|_length| MalformedHeader)
    }

    fn unsigned_varint(&mut self) -> Result<u32, MalformedHeader> {
        let mut value: u64 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_too_large| MalformedHeader);
            }
        }
        Err(MalformedHeader)
    }
}

#[cfg(test)]
mod tests {
    use super::{MalformedHeader, RequestPrefix, split_client_id};
    use bytes::Bytes;

    const PREFIX: &[u8] = b"\0\x03\0\x0c\0\0\0\x07";

    fn frame(rest: &[u8]) -> Bytes {
        [PREFIX, rest].concat().into()
    }

    #[test]
    fn reads_the_prefix() {
        let prefix = RequestPrefix { api_key: 3, api_version: 12, correlation_id: 7 };
        assert_eq!(RequestPrefix::read(PREFIX), Ok(prefix));
        assert_eq!(RequestPrefix::read(&PREFIX[..7]), Err(MalformedHeader));
    }

    #[test]
    fn skips_tagged_fields_it_does_not_know() {
        let split = split_client_id(&frame(b"\0\x02me\x01\x05\x03abcbody"), true);
        assert_eq!(split, Ok(("me".to_owned(), Bytes::from_static(b"body"))));
    }

    #[test]
    fn a_null_client_id_reads_as_empty() {
        let split = split_client_id(&frame(b"\xff\xffbody"), false);
        assert_eq!(split, Ok((String::new(), Bytes::from_static(b"body"))));
    }

    #[test]
    fn refuses_lengths_that_reach_past_the_frame() {
        for rest in [&b"\x7f\xffme"[..], b"\xff\xfeme", b"\0", b"\0\x02m", b"\0\x01\xff"] {
            assert_eq!(split_client_id(&frame(rest), false), Err(MalformedHeader), "{rest:?}");
        }
        for rest in
            [&b"\0\0\x01\x05\x7f"[..], b"\0\0\xff\xff\xff\xff\xff", b"\0\0\xff\xff\xff\xff\x0f", b"\0\0"]
        {
            assert_eq!(split_client_id(&frame(rest), true), Err(MalformedHeader), "{rest:?}");
        }
    }
}
