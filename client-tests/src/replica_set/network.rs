//! Where the nodes of a set are: each on an address of its own, so that all use the same ports and no other test's.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;

use anyhow::{Result, bail};

use super::namespaces::Namespaces;

/// The port for clients.
pub const CLIENT_PORT: u16 = 9092;
/// The port for the other nodes.
pub const PEER_PORT: u16 = 9093;
/// The port for HTTP.
pub const HTTP_PORT: u16 = 9080;
/// How many addresses are tried; two tests at once hardly ever draw the same.
const ATTEMPTS: usize = 20;

/// An address on loopback of which nobody else in these tests draws the same: a port on it stays free for whoever had it,
/// also while that is down, and no other test's node or client gets it meanwhile.
#[must_use]
pub fn own_host() -> String {
    let [a, b, c, ..] = drawn();
    // 127.0 is where everything else on a machine listens.
    format!("127.{}.{b}.{c}", a.clamp(1, 254))
}

fn drawn() -> [u8; 8] {
    RandomState::new().build_hasher().finish().to_le_bytes()
}

/// What connects the nodes.
#[derive(Debug)]
pub enum Network {
    /// Loopback addresses 127.A.B.ID.
    Loopback(u8, u8),
    /// A namespace for each node, with a cable to a bridge that the clients are on.
    Namespaces(Namespaces),
}

impl Network {
    /// Loopback addresses that nobody uses.
    ///
    /// # Errors
    /// When none is found.
    pub fn loopback() -> Result<Network> {
        for _ in 0..ATTEMPTS {
            let [a, b, ..] = drawn();
            let network = Network::Loopback(a.max(1), b);
            if TcpListener::bind((network.host(1), CLIENT_PORT)).is_ok() {
                return Ok(network);
            }
        }
        bail!("no loopback address is free")
    }

    /// New namespaces, or a skip where they cannot be made.
    ///
    /// # Errors
    /// When it fails although this is root, or where `CI` is set.
    pub fn namespaces(nodes: u8) -> Result<Option<Network>> {
        Ok(Namespaces::create(nodes)?.map(Network::Namespaces))
    }

    /// The address of a node.
    #[must_use]
    pub fn host(&self, id: i32) -> String {
        match self {
            Network::Loopback(a, b) => format!("127.{a}.{b}.{id}"),
            Network::Namespaces(namespaces) => namespaces.host(id),
        }
    }

    /// The namespaces, if that is what it is.
    #[must_use]
    pub fn as_namespaces(&self) -> Option<&Namespaces> {
        match self {
            Network::Loopback(..) => None,
            Network::Namespaces(namespaces) => Some(namespaces),
        }
    }
}
