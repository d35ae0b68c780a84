//! Nodes that copy from each other: what is acknowledged, and what the logs hold.

mod copying;
mod failing_over;
