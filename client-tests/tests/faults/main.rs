//! Real faults under an idempotent load: what was acknowledged is there exactly once when the node is back.

mod cached_disk;
mod compaction;
mod flush_error;
mod full_disk;
mod group_kills;
mod kill_cycles;
mod load;
mod loop_disk;
mod power_cut;
