//! What Ottla adds to DescribeGroups: for how long a group has waited for a member that has not joined again.
//!
//! The protocol has no field for it. So who wants to know puts a tag into the request, and only then a node of Ottla puts
//! the same tag on each member; Apache Kafka skips a tag that it does not know, and no other client ever sees one. Tags
//! begin with version 5.
//!
//! ```text
//! request                tag 28532, empty
//! a member in the answer tag 28532, i64 milliseconds, -1 for a member that is not awaited
//! ```
//!
//! Source: KIP-482.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::DescribeGroupsRequest;
use kafka_protocol::messages::describe_groups_response::DescribedGroupMember;

/// "ot" in ASCII: Kafka numbers its tags from 0.
const TAG: i32 = 28_532;

/// Asks for it.
pub fn ask(request: &mut DescribeGroupsRequest) {
    request.unknown_tagged_fields.insert(TAG, Bytes::new());
}

/// Whether the client asks for it.
pub fn is_asked(request: &DescribeGroupsRequest) -> bool {
    request.unknown_tagged_fields.contains_key(&TAG)
}

/// Says of a member for how long its group has waited for it, or that it does not.
pub fn tell(member: &mut DescribedGroupMember, awaited_for: Option<Duration>) {
    let milliseconds =
        awaited_for.map_or(-1, |awaited_for| i64::try_from(awaited_for.as_millis()).unwrap_or(i64::MAX));
    member.unknown_tagged_fields.insert(TAG, Bytes::copy_from_slice(&milliseconds.to_be_bytes()));
}

/// Whether a member is awaited, as far as its broker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attendance {
    /// The broker does not say.
    Unknown,
    /// The group does not wait for it.
    NotAwaited,
    /// The group has waited for it so long.
    AwaitedFor(Duration),
}

/// What was said of a member.
pub fn told(member: &DescribedGroupMember) -> Attendance {
    let bytes = member.unknown_tagged_fields.get(&TAG).and_then(|bytes| bytes.as_ref().try_into().ok());
    match bytes.map(i64::from_be_bytes) {
        None => Attendance::Unknown,
        Some(milliseconds) => u64::try_from(milliseconds).map_or(Attendance::NotAwaited, |milliseconds| {
            Attendance::AwaitedFor(Duration::from_millis(milliseconds))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::DescribeGroupsRequest;
    use kafka_protocol::messages::describe_groups_response::DescribedGroupMember;
    use kafka_protocol::protocol::{Decodable, Encodable};

    use super::{Attendance, TAG, ask, is_asked, tell, told};

    #[test]
    fn the_question_and_the_answer_survive_the_wire() {
        let mut request = DescribeGroupsRequest::default();
        assert!(!is_asked(&request));
        ask(&mut request);
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, 6).unwrap();
        assert!(is_asked(&DescribeGroupsRequest::decode(&mut bytes, 6).unwrap()));

        let awaited_for = Duration::from_millis(12_345);
        for (said, heard) in
            [(None, Attendance::NotAwaited), (Some(awaited_for), Attendance::AwaitedFor(awaited_for))]
        {
            let mut member = DescribedGroupMember::default();
            assert_eq!(told(&member), Attendance::Unknown);
            tell(&mut member, said);
            member.encode(&mut bytes, 6).unwrap();
            assert_eq!(told(&DescribedGroupMember::decode(&mut bytes, 6).unwrap()), heard);
        }
    }

    #[test]
    fn a_tag_of_another_length_says_nothing() {
        let mut member = DescribedGroupMember::default();
        for bytes in [&[][..], &[1, 2, 3], &[0; 9]] {
            member.unknown_tagged_fields.insert(TAG, Bytes::copy_from_slice(bytes));
            assert_eq!(told(&member), Attendance::Unknown);
        }
    }
}
