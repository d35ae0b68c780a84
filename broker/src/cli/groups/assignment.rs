//! What the leader of a classic group assigned to a member.
//!
//! ```text
//! version     i16
//! topics      i32 count, then of each
//!   topic       i16 length, UTF-8
//!   partitions  i32 count, i32 each
//! user_data   bytes, which only the clients read
//! ```
//!
//! Another client wrote it, so no byte is trusted, and nothing is reserved for a count.
//! Source: `ConsumerProtocolAssignment.json`.

use std::collections::BTreeMap;

/// The partitions of each topic.
pub(super) type Assignment = BTreeMap<String, Vec<i32>>;

/// The partitions in `bytes`; none where they are not such an assignment.
pub(super) fn parse(bytes: &[u8]) -> Assignment {
    read(bytes).unwrap_or_default()
}

fn read(mut rest: &[u8]) -> Option<Assignment> {
    let version = i16::from_be_bytes(take(&mut rest)?);
    if version < 0 {
        return None;
    }
    let mut topics = Assignment::new();
    for _ in 0..count(&mut rest)? {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (topic, behind) = rest.split_at_checked(length)?;
        rest = behind;
        let partitions = (0..count(&mut rest)?).map(|_| take(&mut rest).map(i32::from_be_bytes));
        let partitions: Option<Vec<i32>> = partitions.collect();
        topics.entry(std::str::from_utf8(topic).ok()?.to_owned()).or_default().extend(partitions?);
    }
    Some(topics)
}

fn count(rest: &mut &[u8]) -> Option<u32> {
    u32::try_from(i32::from_be_bytes(take(rest)?)).ok()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn partitions_are_read_whatever_the_version() {
        for version in [b"\0\0", b"\0\x03", b"\0\x09"] {
            let rest = b"\0\0\0\x01\0\x06events\0\0\0\x02\0\0\0\0\0\0\0\x03\xff\xff\xff\xff";
            let read = parse(&[&version[..], rest].concat());
            assert_eq!(read.into_iter().collect::<Vec<_>>(), [("events".to_owned(), vec![0, 3])]);
        }
    }

    #[test]
    fn an_assignment_that_nobody_can_read_has_no_partitions() {
        let none: [&[u8]; 8] = [
            b"",
            b"\0",
            b"\0\x01",
            b"\xff\xff\0\0\0\0",
            b"\0\x01\x7f\xff\xff\xff\0\x06events",
            b"\0\x01\xff\xff\xff\xff",
            b"\0\x01\0\0\0\x01\0\x01t\x7f\xff\xff\xff\0\0\0\0",
            b"\0\x01\0\0\0\x01\0\x01\xff\0\0\0\0",
        ];
        for bytes in none {
            assert!(parse(bytes).is_empty(), "{bytes:?}");
        }
    }
}
