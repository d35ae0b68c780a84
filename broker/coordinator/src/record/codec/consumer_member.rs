//! The value of a member of a consumer group, type 5. Version 0, flexible.
//!
//! ```text
//! instance_id             string, or null
//! rack_id                 string, or null
//! client_id               string
//! client_host             string
//! subscribed_topic_names  [string]
//! subscribed_topic_regex  string, or null
//! rebalance_timeout_ms    i32
//! server_assignor         string, or null
//! tag 0: classic_member_metadata  varint 0: none, else 1 and
//!   session_timeout_ms    i32
//!   supported_protocols   [ ]
//!     name                string
//!     metadata            bytes
//! ```
//!
//! The schema's default of tag 0 is none; but Kafka's classes take a missing one for an empty structure, so that it is
//! written always. Source: `ConsumerGroupMemberMetadataValue.json`, and its generated class.

use super::{CodecError, Reader, Writer};
use crate::ids::InstanceId;
use crate::record::{ClassicMemberMetadata, ConsumerMemberValue};

pub(super) fn encode(value: &ConsumerMemberValue) -> Writer {
    let mut writer = Writer::flexible();
    writer.i16(0);
    writer.nullable_string("instance_id", value.instance_id.as_ref().map(InstanceId::as_str));
    writer.nullable_string("rack_id", value.rack_id.as_deref());
    writer.string("client_id", &value.client_id);
    writer.string("client_host", &value.client_host);
    writer.array(&value.subscribed_topic_names, |writer, name| writer.string("subscribed_topic_names", name));
    writer.nullable_string("subscribed_topic_regex", value.subscribed_topic_regex.as_deref());
    writer.i32(value.rebalance_timeout_ms);
    writer.nullable_string("server_assignor", value.server_assignor.as_deref());
    writer.tag_0(Some(|writer: &mut Writer| encode_classic(writer, value.classic.as_ref())));
    writer
}

fn encode_classic(writer: &mut Writer, classic: Option<&ClassicMemberMetadata>) {
    writer.is_present(classic.is_some());
    let Some(classic) = classic else { return };
    writer.i32(classic.session_timeout_ms);
    writer.array(&classic.supported_protocols, |writer, (name, metadata)| {
        writer.string("the name of a protocol", name);
        writer.bytes(metadata);
        writer.no_tags();
    });
    writer.no_tags();
}

pub(super) fn decode((_, reader): (i16, &mut Reader<'_>)) -> Result<ConsumerMemberValue, CodecError> {
    let mut value = ConsumerMemberValue {
        instance_id: reader.nullable_string("instance_id")?.map(InstanceId),
        rack_id: reader.nullable_string("rack_id")?,
        client_id: reader.string("client_id")?,
        client_host: reader.string("client_host")?,
        subscribed_topic_names: reader
            .array("subscribed_topic_names", |reader| reader.string("subscribed_topic_names"))?,
        subscribed_topic_regex: reader.nullable_string("subscribed_topic_regex")?,
        rebalance_timeout_ms: reader.i32("rebalance_timeout_ms")?,
        server_assignor: reader.nullable_string("server_assignor")?,
        classic: None,
    };
    reader.tags(|tag, field| {
        if tag == 0 {
            value.classic = decode_classic(field)?;
        }
        Ok(())
    })?;
    Ok(value)
}

fn decode_classic(reader: &mut Reader<'_>) -> Result<Option<ClassicMemberMetadata>, CodecError> {
    if !reader.is_present("classic_member_metadata")? {
        return Ok(None);
    }
    let session_timeout_ms = reader.i32("session_timeout_ms")?;
    let supported_protocols = reader.array("supported_protocols", |reader| {
        let protocol =
            (reader.string("the name of a protocol")?, reader.bytes("the metadata of a protocol")?);
        reader.no_tags()?;
        Ok(protocol)
    })?;
    reader.no_tags()?;
    Ok(Some(ClassicMemberMetadata { session_timeout_ms, supported_protocols }))
}
