//! Connections between the nodes of a replica set, on a listener of their own.
//!
//! A node dials another through [`Dialer`], for one [`Purpose`] each; [`PeerListener`] accepts. Both sides have said
//! [`Hello`] to each other when a [`PeerStream`] comes out, and what they say then is cut into frames by [`frame`].
//!
//! Invariants: no Kafka request is read here and no peer's message on the Kafka listeners, so that a client can never
//! act as a replica; nothing is allocated for what a stranger merely announced; connections that have not said hello
//! are few and short-lived.
//!
//! Deliberately absent: what the connections carry, and connecting again. `quorum` and the fetchers of replicas do that.

mod dialer;
mod frame;
mod handshakes;
mod hello;
mod listener;
mod silence;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
mod transport;

pub(crate) use dialer::{DialError, Dialer};
pub(crate) use frame::{FrameError, FrameReader, write_frame};
pub(crate) use hello::{Hello, Mismatch, PROTOCOL_VERSION, Purpose};
pub(crate) use listener::{PeerListener, PeerSockets};
pub(crate) use silence::NoSilence;
pub(crate) use tls::{PeerTls, PeerTlsError};
pub(crate) use transport::PeerStream;
