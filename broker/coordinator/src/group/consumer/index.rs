//! What follows from the members of a consumer group and is asked often: who is static, what is subscribed to, who
//! holds which partition. Kept as members come and go, so that a heartbeat need not look at all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::ids::{PartitionIndex, TopicId};

use super::limits::bytes_of;
use super::state::Member;
use crate::ids::{InstanceId, MemberId};
use crate::record::RegularExpressionValue;

/// How often something is there.
#[derive(Clone, Debug)]
pub(crate) struct Counts<K>(BTreeMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Counts<K> {
    pub(crate) fn add(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
    {
        match self.0.get_mut(key) {
            Some(1) => {
                self.0.remove(key);
            }
            Some(count) => *count -= 1,
            None => {}
        }
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.get(key).copied().unwrap_or(0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, usize)> {
        self.0.iter().map(|(key, count)| (key, *count))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What follows from the members and the patterns of a group.
#[derive(Debug, Default)]
pub(crate) struct Index {
    static_members: BTreeMap<InstanceId, MemberId>,
    /// The topics that somebody subscribes to, by name or by pattern.
    pub(crate) topics: Counts<Arc<str>>,
    /// The patterns that somebody subscribes to.
    pub(crate) patterns: Counts<Arc<str>>,
    /// The votes for assignors.
    pub(crate) assignors: Counts<Arc<str>>,
    /// The protocols that classic members support.
    pub(crate) classic_protocols: Counts<Arc<str>>,
    /// How many members speak the classic protocol.
    pub(crate) classic_members: usize,
    /// How many bytes the ids of the members take.
    pub(crate) id_bytes: usize,
    /// How many bytes the members said of themselves.
    pub(crate) said_bytes: usize,
    /// How many members hold a partition: more than one only while records of Kafka are loaded whose predecessors
    /// were compacted away.
    holders: BTreeMap<TopicId, Counts<PartitionIndex>>,
}

impl Index {
    /// Whose instance id this is.
    pub(crate) fn static_member(&self, instance_id: &InstanceId) -> Option<&MemberId> {
        self.static_members.get(instance_id)
    }

    /// Whether a member owns the partition or has yet to give it up.
    pub(crate) fn is_held(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.holders.get(&topic).is_some_and(|partitions| partitions.get(&partition) > 0)
    }

    /// A member is no longer as it was.
    pub(crate) fn remove(&mut self, member_id: &MemberId, member: &Member) {
        let said = &*member.said;
        self.id_bytes -= member_id.as_str().len();
        self.said_bytes -= bytes_of(said);
        if let Some(instance_id) = &said.instance_id
            && self.static_members.get(instance_id) == Some(member_id)
        {
            self.static_members.remove(instance_id);
        }
        said.subscribed_topic_names.iter().for_each(|topic| self.topics.remove(topic));
        member.pattern().iter().for_each(|pattern| self.patterns.remove(*pattern));
        said.server_assignor.iter().for_each(|assignor| self.assignors.remove(assignor));
        if let Some(classic) = &said.classic {
            self.classic_members -= 1;
            classic.supported_protocols.iter().for_each(|(name, _)| self.classic_protocols.remove(name));
        }
        for (topic, partition) in member.current.held() {
            let partitions = self.holders.entry(topic).or_default();
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.holders.remove(&topic);
            }
        }
    }

    /// A member is now like this.
    pub(crate) fn add(&mut self, member_id: &MemberId, member: &Member) {
        let said = &*member.said;
        self.id_bytes += member_id.as_str().len();
        self.said_bytes += bytes_of(said);
        if let Some(instance_id) = &said.instance_id {
            self.static_members.insert(instance_id.clone(), member_id.clone());
        }
        said.subscribed_topic_names.iter().for_each(|topic| self.topics.add(topic.clone()));
        member.pattern().iter().for_each(|pattern| self.patterns.add(Arc::clone(pattern)));
        said.server_assignor.iter().for_each(|assignor| self.assignors.add(assignor.clone()));
        if let Some(classic) = &said.classic {
            self.classic_members += 1;
            classic.supported_protocols.iter().for_each(|(name, _)| self.classic_protocols.add(name.clone()));
        }
        for (topic, partition) in member.current.held() {
            self.holders.entry(topic).or_default().add(partition);
        }
    }

    /// A pattern no longer matches these topics, or does so now.
    pub(crate) fn replace_pattern(
        &mut self,
        before: Option<&RegularExpressionValue>,
        after: Option<&RegularExpressionValue>,
    ) {
        before.iter().flat_map(|value| &value.topics).for_each(|topic| self.topics.remove(topic));
        after.iter().flat_map(|value| &value.topics).for_each(|topic| self.topics.add(topic.clone()));
    }
}
