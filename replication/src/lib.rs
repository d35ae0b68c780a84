//! What the metadata records mean and what the controller decides, without a file, a socket, a task or a clock.
//!
//! - [`metadata`]: the records that the metadata quorum agrees on, the image that they add up to, and what changed
//!   between two images.
//! - [`controller`]: turns a request into records and a reply, against one image.
//!
//! Invariants: applying a record cannot fail and depends on nothing but the image and the record, so every node that
//! applied the same records holds the same image; a decision is made against one image and changes nothing by itself.
//!
//! Absent: consensus and its files (`ottla::quorum`), and the partition leader and follower of a replica set.

pub mod controller;
pub mod metadata;
