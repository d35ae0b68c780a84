//! Bytes on a connection: frames, request headers, and the responses' encoding.
//!
//! The messages themselves come from the `kafka-protocol` crate; what it lacks, or does in a way that a peer could
//! abuse, is here. Nothing in this module knows what a request means.

pub mod api_versions_request;
pub mod awaited;
pub mod bounded_buffer;
mod compact;
pub mod delete_groups;
pub mod fetch_response;
pub mod frame;
pub mod list_offsets;
pub mod offset_commit;
pub mod offset_fetch;
pub mod request_header;
pub mod response;
