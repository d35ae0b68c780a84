//! How log entries, votes and memberships are written in the quorum's files. Integers are big-endian.
//!
//! ```text
//! log id      u64 term, u64 index
//! ?x          u8 0, or u8 1 and x
//! vote        u64 term, ?u64 voted_for, u8 committed (0 or 1)
//! membership  u32 count of configurations: u32 count of voters: u64 raft node id
//!             u32 count of nodes: u64 raft node id, i32 broker id, from version 2 on also
//!             ?(string host, u16 port)
//! string      u32 length, and that many bytes of UTF-8
//! entry       log id, u8 kind, u32 length, and that many bytes:
//!               kind 0  blank: nothing
//!               kind 1  u64 term in which it was decided, a batch of metadata records
//!               kind 2  membership of version 1; read, no longer written
//!               kind 3  membership of version 2
//! ```
//!
//! These layouts belong to the format version of the file that they stand in, or of the call between nodes; the records
//! within have their own.

use crate::quorum::error::EntryError;
use crate::quorum::types::{
    Entry, LogId, Membership, MetadataBatch, QuorumNode, RaftNodeId, StoredMembership, Vote, log_id,
};
use bytes::Buf;
use config::broker::Endpoint;
use openraft::{EntryPayload, LeaderId};
use replication::metadata::record::{decode_batch, encode_batch};
use std::collections::{BTreeMap, BTreeSet};
use storage::ids::BrokerId;

const BLANK: u8 = 0;
const BATCH: u8 = 1;
const MEMBERSHIP_WITHOUT_ADDRESSES: u8 = 2;
const MEMBERSHIP: u8 = 3;

/// The largest term or index. Larger: openraft, which adds to them, or an offset of the metadata log overflows. Smaller by
/// far: a cluster comes to its end.
const NUMBER_MAX: u64 = 1 << 62;

/// The first version whose memberships say where nodes are reached.
const ADDRESSES_SINCE: u32 = 2;

fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("an entry is far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
}

fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn optional<T>(
    bytes: &mut &[u8],
    read: impl FnOnce(&mut &[u8]) -> Result<T, EntryError>,
) -> Result<Option<T>, EntryError> {
    match bytes.try_get_u8()? {
        0 => Ok(None),
        1 => read(bytes).map(Some),
        value => Err(EntryError::UnknownKind { what: "presence of a field", value }),
    }
}

/// A count of elements of at least `element_len` bytes, which must be there.
fn count(bytes: &mut &[u8], element_len: usize) -> Result<usize, EntryError> {
    let count = bytes.try_get_u32()? as usize;
    if count.saturating_mul(element_len) > bytes.len() { Err(EntryError::Length) } else { Ok(count) }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], EntryError> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(EntryError::Length)?;
    *bytes = rest;
    Ok(taken)
}

/// A term or an index.
fn number(bytes: &mut &[u8]) -> Result<u64, EntryError> {
    match bytes.try_get_u64()? {
        value if value <= NUMBER_MAX => Ok(value),
        value => Err(EntryError::TooLarge { value }),
    }
}

pub(super) fn put_log_id(out: &mut Vec<u8>, id: &LogId) {
    out.extend_from_slice(&id.leader_id.term.to_be_bytes());
    out.extend_from_slice(&id.index.to_be_bytes());
}

pub(super) fn read_log_id(bytes: &mut &[u8]) -> Result<LogId, EntryError> {
    Ok(log_id(number(bytes)?, number(bytes)?))
}

pub(super) fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    out.extend_from_slice(&vote.leader_id.term.to_be_bytes());
    put_optional(out, vote.leader_id.voted_for, |out, id| out.extend_from_slice(&id.to_be_bytes()));
    out.push(u8::from(vote.committed));
}

pub(super) fn read_vote(bytes: &mut &[u8]) -> Result<Vote, EntryError> {
    let term = number(bytes)?;
    let voted_for = optional(bytes, |bytes| Ok(bytes.try_get_u64()?))?;
    let committed = bytes.try_get_u8()? == 1;
    Ok(Vote { leader_id: LeaderId { term, voted_for }, committed })
}

fn put_membership(out: &mut Vec<u8>, membership: &Membership) {
    put_length(out, membership.get_joint_config().len());
    for voters in membership.get_joint_config() {
        put_length(out, voters.len());
        for voter in voters {
            out.extend_from_slice(&voter.to_be_bytes());
        }
    }
    put_length(out, membership.nodes().count());
    for (id, node) in membership.nodes() {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&node.broker_id.0.to_be_bytes());
        put_optional(out, node.address.as_ref(), |out, address| {
            put_string(out, &address.host);
            out.extend_from_slice(&address.port.to_be_bytes());
        });
    }
}

fn read_address(bytes: &mut &[u8]) -> Result<Endpoint, EntryError> {
    Ok(Endpoint { host: read_string(bytes)?, port: bytes.try_get_u16()? })
}

pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn read_string(bytes: &mut &[u8]) -> Result<String, EntryError> {
    let length = bytes.try_get_u32()? as usize;
    Ok(str::from_utf8(take(bytes, length)?).map_err(|_| EntryError::Length)?.to_owned())
}

fn read_membership(bytes: &mut &[u8], version: u32) -> Result<Membership, EntryError> {
    let mut configurations = Vec::new();
    for _ in 0..count(bytes, 4)? {
        let mut voters: BTreeSet<RaftNodeId> = BTreeSet::new();
        for _ in 0..count(bytes, 8)? {
            voters.insert(bytes.try_get_u64()?);
        }
        configurations.push(voters);
    }
    let mut nodes: BTreeMap<RaftNodeId, QuorumNode> = BTreeMap::new();
    for _ in 0..count(bytes, 12)? {
        let id = bytes.try_get_u64()?;
        let broker_id = BrokerId(bytes.try_get_i32()?);
        let address = if version >= ADDRESSES_SINCE { optional(bytes, read_address)? } else { None };
        nodes.insert(id, QuorumNode { broker_id, address });
    }
    Ok(Membership::new(configurations, nodes))
}

pub(super) fn put_stored_membership(out: &mut Vec<u8>, membership: &StoredMembership) {
    put_optional(out, membership.log_id().as_ref(), put_log_id);
    put_membership(out, membership.membership());
}

/// The membership of a file or call of this format version.
pub(super) fn read_stored_membership(
    bytes: &mut &[u8],
    version: u32,
) -> Result<StoredMembership, EntryError> {
    let log_id = optional(bytes, read_log_id)?;
    Ok(StoredMembership::new(log_id, read_membership(bytes, version)?))
}

pub(super) fn put_optional_log_id(out: &mut Vec<u8>, id: Option<&LogId>) {
    put_optional(out, id, put_log_id);
}

pub(super) fn read_optional_log_id(bytes: &mut &[u8]) -> Result<Option<LogId>, EntryError> {
    optional(bytes, read_log_id)
}

pub(super) fn put_entries(out: &mut Vec<u8>, entries: &[Entry]) {
    put_length(out, entries.len());
    entries.iter().for_each(|entry| put_entry(out, entry));
}

pub(super) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    let mut payload = Vec::new();
    let kind = match &entry.payload {
        EntryPayload::Blank => BLANK,
        EntryPayload::Normal(batch) => {
            payload.extend_from_slice(&batch.term.to_be_bytes());
            payload.extend_from_slice(&encode_batch(&batch.records));
            BATCH
        }
        EntryPayload::Membership(membership) => {
            put_membership(&mut payload, membership);
            MEMBERSHIP
        }
    };
    put_log_id(out, &entry.log_id);
    out.push(kind);
    put_length(out, payload.len());
    out.extend_from_slice(&payload);
}

pub(super) fn read_entries(bytes: &mut &[u8]) -> Result<Vec<Entry>, EntryError> {
    (0..count(bytes, 21)?).map(|_| read_entry(bytes)).collect()
}

pub(super) fn read_entry(bytes: &mut &[u8]) -> Result<Entry, EntryError> {
    let log_id = read_log_id(bytes)?;
    let kind = bytes.try_get_u8()?;
    let length = bytes.try_get_u32()? as usize;
    let mut payload = take(bytes, length)?;
    let payload = match kind {
        BLANK => EntryPayload::Blank,
        BATCH => {
            let term = payload.try_get_u64()?;
            EntryPayload::Normal(MetadataBatch { term, records: decode_batch(payload)?.into() })
        }
        MEMBERSHIP_WITHOUT_ADDRESSES => EntryPayload::Membership(read_membership(&mut payload, 1)?),
        MEMBERSHIP => EntryPayload::Membership(read_membership(&mut payload, ADDRESSES_SINCE)?),
        value => return Err(EntryError::UnknownKind { what: "kind of entry", value }),
    };
    Ok(Entry { log_id, payload })
}
