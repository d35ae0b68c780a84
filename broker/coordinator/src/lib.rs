//! What the coordinator of groups decides, as state machines: who is a member, who owns which partition, and how far
//! each group has read.
//!
//! A [`shard::GroupShard`] holds the groups of one partition of `__consumer_offsets`. Its user turns bytes, time and
//! the disk into calls, in this order:
//!
//! 1. `handle(request, …)` decides. It changes nothing that is persisted; it answers records to append and replies to
//!    send.
//! 2. The records are appended in one batch. Where that fails, the replies become errors and nothing is rolled back.
//! 3. `apply(record, offset)` changes the persisted state; it cannot fail, and loading a shard is nothing else.
//! 4. `committed(high_watermark)` says what every in-sync replica holds. Replies leave once everything that was applied
//!    before them is committed; reads (OffsetFetch, describe, list) answer committed state alone, and never wait.
//! 5. `next_deadline()` and `on_deadline(…)` are all that time can do.
//!
//! Absent: tasks, clocks, sockets, files, Kafka's error codes and message versions. Absent too: transactions, share
//! groups and streams groups.

pub mod description;
pub mod environment;
pub mod error;
pub mod group;
pub mod ids;
mod offsets;
pub mod output;
pub mod record;
pub mod request;
pub mod shard;
#[cfg(test)]
mod testing;
