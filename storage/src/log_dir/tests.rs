//! Logs and their directory, on the simulated disk and on a real one.

mod basics;
mod compacted;
mod compaction;
mod compaction_crash;
mod compaction_model;
mod crash;
mod cut_world;
mod faults;
mod flush_interval;
mod follow;
mod high_watermarks;
mod kafka;
mod late_states;
mod layout;
mod spare_snapshots;
mod support;
mod truncate;
mod truncate_crash;
mod truncate_model;
