//! The addresses that a broker listens on and tells its clients.
//!
//! Nothing is resolved here: a host stays the text that the configuration gave.

use std::fmt;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, an IPv6 one without its brackets. Empty means every address of the machine; `localhost`
    /// means both loopback addresses, 127.0.0.1 and ::1.
    pub host: String,
    /// The port; 0 lets the operating system choose a free one.
    pub port: u16,
}

/// A named address for the Kafka protocol, in plain text: no other security protocol is served yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The listener's name, in upper case, such as `PLAINTEXT`; unique among a broker's listeners.
    pub name: String,
    /// Its address.
    pub endpoint: Endpoint,
}

impl Listener {
    /// A listener of that name at that address.
    #[must_use]
    pub fn new(name: &str, host: &str, port: u16) -> Self {
        Self { name: name.to_owned(), endpoint: Endpoint { host: host.to_owned(), port } }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.name, self.endpoint)
    }
}
