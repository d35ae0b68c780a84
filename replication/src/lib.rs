//! What the metadata records mean and what the controller decides, without a file, a socket, a task or a clock.
//!
//! - [`metadata`]: the records that the metadata quorum agrees on, the image that they add up to, and what changed
//!   between two images.
//! - [`controller`]: turns a request into records and a reply, against one image.
//! - [`leader`], [`follower`]: one partition's replicas, and in [`fetch`] what they say to each other: what is committed,
//!   who is in sync, and where a log that went another way is cut.
//!
//! Invariants: applying a record cannot fail and depends on nothing but the image and the record, so every node that
//! applied the same records holds the same image; a decision is made against one image and changes nothing by itself.
//!
//! Absent: consensus and its files (`ottla::quorum`), and the records themselves.

pub mod controller;
pub mod fetch;
pub mod follower;
pub mod leader;
pub mod metadata;
#[cfg(test)]
mod world;
