//! Logs and their directory, on the simulated disk and on a real one.

mod basics;
mod compacted;
mod compaction;
mod compaction_crash;
mod compaction_model;
mod crash;
mod faults;
mod follow;
mod layout;
mod support;
