//! What a broker demands of a batch before it appends it.

/// Where a batch comes from, which says how much of it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// A coordinator of this broker: offsets, groups, transactions and their markers. It may write control batches and
    /// batches that have a producer id and no sequence.
    Coordinator,
    /// The leader, to a follower: it has checked.
    Replication,
}
