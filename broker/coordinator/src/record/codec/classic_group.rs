//! The value of a classic group, type 2.
//!
//! ```text
//!                                     version  0   1   2   3   4, flexible
//! protocol_type            string              x   x   x   x   x
//! generation               i32                 x   x   x   x   x
//! protocol                 string, or null     x   x   x   x   x
//! leader                   string, or null     x   x   x   x   x
//! current_state_timestamp  i64                         x   x   x   -1: unknown
//! members                  [ ]                 x   x   x   x   x
//!   member_id              string              x   x   x   x   x
//!   group_instance_id      string, or null                 x   x
//!   client_id              string              x   x   x   x   x
//!   client_host            string              x   x   x   x   x
//!   rebalance_timeout      i32                     x   x   x   x   -1, and before: as the session timeout
//!   session_timeout        i32                 x   x   x   x   x
//!   subscription           bytes               x   x   x   x   x
//!   assignment             bytes               x   x   x   x   x
//! ```
//!
//! Written is version 3. Source: `GroupMetadataValue.json`.

use storage::ids::TimestampMs;

use super::{CodecError, Reader, Writer};
use crate::ids::{GenerationId, InstanceId, MemberId};
use crate::record::{ClassicGroupValue, ClassicMemberValue};

pub(super) fn encode(value: &ClassicGroupValue) -> Writer {
    let mut writer = Writer::inflexible();
    writer.i16(3);
    writer.string("protocol_type", &value.protocol_type);
    writer.i32(value.generation_id.0);
    writer.nullable_string("protocol", value.protocol.as_deref());
    writer.nullable_string("leader", value.leader.as_ref().map(MemberId::as_str));
    writer.i64(value.current_state_timestamp.0);
    writer.array(&value.members, encode_member);
    writer
}

fn encode_member(writer: &mut Writer, member: &ClassicMemberValue) {
    writer.string("member_id", member.member_id.as_str());
    writer.nullable_string("group_instance_id", member.group_instance_id.as_ref().map(InstanceId::as_str));
    writer.string("client_id", &member.client_id);
    writer.string("client_host", &member.client_host);
    writer.i32(member.rebalance_timeout_ms);
    writer.i32(member.session_timeout_ms);
    writer.bytes(&member.subscription);
    writer.bytes(&member.assignment);
}

pub(super) fn decode((version, reader): (i16, &mut Reader<'_>)) -> Result<ClassicGroupValue, CodecError> {
    let value = ClassicGroupValue {
        protocol_type: reader.string("protocol_type")?,
        generation_id: GenerationId(reader.i32("generation")?),
        protocol: reader.nullable_string("protocol")?,
        leader: reader.nullable_string("leader")?.map(MemberId),
        current_state_timestamp: match version {
            ..2 => TimestampMs::NONE,
            2.. => TimestampMs(reader.i64("current_state_timestamp")?),
        },
        members: reader.array("members", |reader| decode_member(version, reader))?,
    };
    reader.no_tags()?;
    Ok(value)
}

fn decode_member(version: i16, reader: &mut Reader<'_>) -> Result<ClassicMemberValue, CodecError> {
    let member_id = MemberId(reader.string("member_id")?);
    let group_instance_id = if version >= 3 { reader.nullable_string("group_instance_id")? } else { None };
    let client_id = reader.string("client_id")?;
    let client_host = reader.string("client_host")?;
    let rebalance_timeout_ms = if version >= 1 { reader.i32("rebalance_timeout")? } else { -1 };
    let session_timeout_ms = reader.i32("session_timeout")?;
    let member = ClassicMemberValue {
        member_id,
        group_instance_id: group_instance_id.map(InstanceId),
        client_id,
        client_host,
        rebalance_timeout_ms: match rebalance_timeout_ms {
            -1 => session_timeout_ms,
            given => given,
        },
        session_timeout_ms,
        subscription: reader.bytes("subscription")?,
        assignment: reader.bytes("assignment")?,
    };
    reader.no_tags()?;
    Ok(member)
}
