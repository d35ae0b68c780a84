//! DeleteGroups' request and response, whose version 3 (an error message, Kafka 4.4) the crate does not have.
//!
//! The request is the same in versions 2 and 3. Source: `DeleteGroupsResponse.json`.

use super::compact::{put_list_length, put_no_tagged_fields, put_nullable_string};
use super::response::{EncodeError, FrameBuilder};
use anyhow::Result;
use bytes::BufMut;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{
    DeleteGroupsRequest as RequestOfTheCrate, DeleteGroupsResponse as ResponseOfTheCrate, GroupId,
};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, HeaderVersion, StrBytes};

/// The first version that explains errors.
const ERROR_MESSAGE_SINCE: i16 = 3;

/// The groups to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteGroupsRequest {
    /// Their names.
    pub groups: Vec<StrBytes>,
}

impl HeaderVersion for DeleteGroupsRequest {
    fn header_version(version: i16) -> i16 {
        RequestOfTheCrate::header_version(version.min(2))
    }
}

impl Decodable for DeleteGroupsRequest {
    fn decode<B: ByteBuf>(buffer: &mut B, version: i16) -> Result<Self> {
        let request = RequestOfTheCrate::decode(buffer, version.min(2))?;
        Ok(Self { groups: request.groups_names.into_iter().map(|name| name.0).collect() })
    }
}

/// What became of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedGroup {
    /// Its name.
    pub group_id: StrBytes,
    /// The error, 0 for none.
    pub error_code: i16,
    /// Why, in a sentence; not written below version 3.
    pub error_message: Option<String>,
}

/// Writes the response in `version` to `frame`; `throttle_time_ms` says for how long the client is to keep quiet.
///
/// # Errors
/// When the response cannot be written in that version.
pub fn put_response(
    frame: &mut FrameBuilder,
    groups: Vec<DeletedGroup>,
    throttle_time_ms: i32,
    version: i16,
) -> Result<(), EncodeError> {
    if version < ERROR_MESSAGE_SINCE {
        let result = |group: DeletedGroup| {
            DeletableGroupResult::default()
                .with_group_id(GroupId(group.group_id))
                .with_error_code(group.error_code)
        };
        let results = groups.into_iter().map(result).collect();
        let response =
            ResponseOfTheCrate::default().with_throttle_time_ms(throttle_time_ms).with_results(results);
        return frame.put_message(&response, version);
    }
    let buffer = frame.tail();
    buffer.put_i32(throttle_time_ms);
    put_list_length(buffer, groups.len());
    for group in groups {
        put_nullable_string(buffer, Some(&group.group_id));
        buffer.put_i16(group.error_code);
        put_nullable_string(buffer, group.error_message.as_deref());
        put_no_tagged_fields(buffer);
    }
    put_no_tagged_fields(buffer);
    Ok(())
}

/// Whether the header of a response in `version` has tagged fields.
#[must_use]
pub fn is_flexible(version: i16) -> bool {
    ResponseOfTheCrate::header_version(version.min(2)) >= 1
}
