//! The protocols that a member supports, and which of them a group chooses.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::GroupError;
use crate::request::JoinGroup;

/// The most that a member may say of itself, in bytes. More could not be written: a group's record with all its
/// members has to fit into a batch of about 1 MiB. Less would refuse a member that subscribes to tens of thousands of
/// topics, which Apache Kafka takes.
const MEMBER_BYTES_MAX: usize = 1 << 20;

/// What a protocol costs beside its name and its metadata.
const PROTOCOL_BYTES: usize = 64;

/// The protocols that a member supports, each once, its favourite first, with what it says for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protocols(Vec<(Arc<str>, Bytes)>);

impl Protocols {
    /// The protocols of a request. The bytes are copied, so that a member does not keep the frame that it came in.
    ///
    /// # Errors
    /// [`GroupError::RecordTooLarge`] when they are larger than a group's record may be.
    pub(super) fn of_request(request: &JoinGroup) -> Result<Self, GroupError> {
        let said = |(name, metadata): &(Arc<str>, Bytes)| name.len() + metadata.len() + PROTOCOL_BYTES;
        let bytes = request.protocols.iter().map(said).sum::<usize>()
            + request.client_id.len()
            + request.client_host.len()
            + request.group_instance_id.as_ref().map_or(0, |instance_id| instance_id.as_str().len());
        if bytes > MEMBER_BYTES_MAX {
            return Err(GroupError::RecordTooLarge);
        }
        let mut protocols: Vec<(Arc<str>, Bytes)> = Vec::with_capacity(request.protocols.len());
        let mut names = std::collections::BTreeSet::new();
        for (name, metadata) in &request.protocols {
            if names.insert(name) {
                protocols.push((name.clone(), Bytes::copy_from_slice(metadata)));
            }
        }
        Ok(Self(protocols))
    }

    /// The one protocol of which a record tells.
    pub(super) fn of_record(name: Arc<str>, metadata: Bytes) -> Self {
        Self(vec![(name, metadata)])
    }

    /// Their names, the favourite first.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|(name, _)| name)
    }

    /// What the member says for a protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.0.iter().find(|(name, _)| &**name == protocol).map(|(_, metadata)| metadata)
    }

    /// Each with what the member says for it, the favourite first.
    pub(super) fn as_slice(&self) -> &[(Arc<str>, Bytes)] {
        &self.0
    }

    /// How many bytes they hold.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(name, metadata)| name.len() + metadata.len() + PROTOCOL_BYTES).sum()
    }
}

/// The protocol that most members like best of those that all support; of two liked alike, the first by name.
/// `None` where there is no such protocol.
pub(crate) fn select<'a>(members: impl Iterator<Item = &'a [(Arc<str>, Bytes)]> + Clone) -> Option<Arc<str>> {
    let mut counts: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    let mut member_count = 0;
    for protocols in members.clone() {
        member_count += 1;
        protocols.iter().for_each(|(name, _)| *counts.entry(name).or_default() += 1);
    }
    let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for protocols in members {
        let (vote, _) = protocols.iter().find(|(name, _)| counts.get(name) == Some(&member_count))?;
        *votes.entry(vote).or_default() += 1;
    }
    let most = votes.values().copied().max()?;
    votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.clone())
}

#[cfg(test)]
mod tests;
