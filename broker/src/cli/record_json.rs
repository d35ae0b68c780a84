//! A record as one line of JSON, which `ottla consume` writes and `ottla produce` reads.
//!
//! Keys, values and the values of headers are bytes: text where they are UTF-8, otherwise `{"hex":"00ff"}`, and `null`
//! where there is none. Where a record was (its topic, its offset) is passed over when it is read; a name that no record has is
//! refused, since a key or a header would be lost by a slip of the hand.

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A record that is written.
#[derive(Debug, Serialize)]
pub(super) struct WrittenRecord<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// In milliseconds since 1970.
    pub(super) timestamp: i64,
    /// `create` where the producer set the time, `append` where the broker did.
    pub(super) timestamp_type: &'static str,
    pub(super) headers: Vec<Header>,
    pub(super) key: Option<Payload>,
    pub(super) value: Option<Payload>,
}

/// A record that is read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadRecord {
    #[serde(rename = "topic")]
    _topic: Option<IgnoredAny>,
    #[serde(rename = "offset")]
    _offset: Option<IgnoredAny>,
    #[serde(rename = "timestamp_type")]
    _timestamp_type: Option<IgnoredAny>,
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<i64>,
    #[serde(default, deserialize_with = "headers")]
    pub(super) headers: Vec<Header>,
    pub(super) key: Option<Payload>,
    pub(super) value: Option<Payload>,
}

/// A name and a value.
type Header = (Payload, Option<Payload>);

/// Some bytes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload(pub(super) Vec<u8>);

/// Bytes that are no text.
#[derive(Deserialize, Serialize)]
struct Hex {
    hex: String,
}

/// Both forms of bytes.
#[derive(Deserialize)]
#[serde(untagged, expecting = "keys, values and those of headers are text, {\"hex\":\"00ff\"} or null")]
enum Form {
    Text(String),
    Hex(Hex),
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_no_text) => {
                let hex = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
                Hex { hex }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into_bytes())),
            Form::Hex(Hex { hex }) => {
                bytes_of(&hex).map(Self).ok_or_else(|| D::Error::custom(format!("{hex} is not hexadecimal")))
            }
        }
    }
}

/// Headers are a list, since a name may be there twice, and their order counts.
fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Header>, D::Error> {
    struct Headers;

    impl<'de> Visitor<'de> for Headers {
        type Value = Vec<Header>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(r#"headers as a list of names and values, such as [["name","value"]]"#)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }

    deserializer.deserialize_seq(Headers)
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::{Payload, ReadRecord, WrittenRecord};

    #[test]
    fn what_is_written_can_be_read() {
        let payload = |bytes: &[u8]| Some(Payload(bytes.to_vec()));
        let written = WrittenRecord {
            topic: "events",
            partition: 1,
            offset: 7,
            timestamp: 1000,
            timestamp_type: "create",
            headers: vec![(Payload(b"trace".to_vec()), payload(b"1")), (Payload(b"none".to_vec()), None)],
            key: payload(b"\x00\xff"),
            value: None,
        };
        let line = serde_json::to_string(&written).expect("it is JSON");
        assert_eq!(
            line,
            r#"{"topic":"events","partition":1,"offset":7,"timestamp":1000,"timestamp_type":"create","headers":[["trace","1"],["none",null]],"key":{"hex":"00ff"},"value":null}"#
        );
        let read: ReadRecord = serde_json::from_str(&line).expect("it is a record");
        assert_eq!((read.partition, read.timestamp), (Some(1), Some(1000)));
        assert_eq!((read.key, read.value, read.headers), (written.key, None, written.headers));
    }

    #[test]
    fn a_line_may_say_as_little_as_a_value() {
        let read: ReadRecord = serde_json::from_str(r#"{"value":"hello"}"#).expect("it is a record");
        assert_eq!(read.value, Some(Payload(b"hello".to_vec())));
        assert!(read.key.is_none() && read.headers.is_empty() && read.partition.is_none());
        for wrong in [
            r#"{"value":{"hex":"0"}}"#,
            r#"{"value":{"hex":"zz"}}"#,
            r#"{"value":7}"#,
            r#"{"ky":"k"}"#,
            "hello",
        ] {
            assert!(serde_json::from_str::<ReadRecord>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_has_another_form_is_told_which_is_expected() {
        let said = |line: &str| match serde_json::from_str::<ReadRecord>(line) {
            Ok(read) => format!("{read:?}"),
            Err(error) => error.to_string(),
        };
        let map = said(r#"{"value":"v","headers":{"a":"b"}}"#);
        assert!(
            map.contains(r#"expected headers as a list of names and values, such as [["name","value"]]"#),
            "{map}"
        );
        let number = said(r#"{"value":7}"#);
        assert!(
            number.starts_with(r#"keys, values and those of headers are text, {"hex":"00ff"} or null"#),
            "{number}"
        );
    }
}
