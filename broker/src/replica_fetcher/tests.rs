//! Nodes that copy from each other: what is acknowledged, what the logs hold, and how much is copied at once.

mod copying;
mod failing_over;
mod limits;
