//! The addresses that a broker listens on and tells its clients.
//!
//! Nothing is resolved here: a host stays the text that the configuration gave. Source: KIP-103, SocketServerConfigs.java.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::error::ConfigError;
use crate::value;

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

/// Why a text gives no listeners.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressProblem {
    /// Without `://`.
    #[error("{0} is not of the form NAME://HOST:PORT, such as PLAINTEXT://localhost:9092")]
    NotAListener(String),
    /// Without a port, with one that is no number up to 65535, or an IPv6 address without brackets.
    #[error("{0} is not of the form HOST:PORT, such as localhost:9092 or [::1]:9092")]
    NotAnEndpoint(String),
    /// `listener.security.protocol.map` does not say.
    #[error(
        "no security protocol is known for listener {0}; add {0}:PLAINTEXT to listener.security.protocol.map"
    )]
    NoProtocol(String),
    /// Not `PLAINTEXT`.
    #[error("listener {name} uses {protocol}, which is not served yet; use PLAINTEXT")]
    NotServed {
        /// The listener.
        name: String,
        /// Its security protocol.
        protocol: String,
    },
    /// Not an entry of `listener.security.protocol.map`.
    #[error("{0} is not of the form LISTENER:PROTOCOL, such as INTERNAL:PLAINTEXT")]
    NotAProtocol(String),
    /// Two listeners have one name.
    #[error("listener {0} is there twice; every listener needs a name of its own")]
    SameName(String),
    /// Two listeners have one port.
    #[error("two listeners use port {0}; every listener needs a port of its own")]
    SamePort(u16),
    /// Nothing to listen on.
    #[error("no listener is left for clients; add one, such as PLAINTEXT://localhost:9092")]
    NoListener,
    /// An advertised name that `listeners` lacks.
    #[error("listener {0} is not among listeners, so clients could not be told of it")]
    NotListening(String),
    /// An advertised address that no client can connect to.
    #[error("{0} is not an address that clients can connect to; name this machine as they know it")]
    NotRoutable(String),
}

/// What the keys about listeners hold; none where unset.
pub(super) struct Texts {
    pub(super) listeners: Option<String>,
    pub(super) advertised: Option<String>,
    pub(super) protocols: Option<String>,
    pub(super) controllers: Option<String>,
}

/// What they mean together.
pub(super) struct Addresses {
    pub(super) listeners: Vec<Listener>,
    pub(super) advertised: Vec<Listener>,
    pub(super) warnings: Vec<String>,
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

/// Reads the keys about listeners together.
///
/// A file for a combined broker and controller has listeners that are the controller's; they are dropped with a
/// warning, as this node needs none.
pub(super) fn read(texts: &Texts, errors: &mut Vec<ConfigError>) -> Addresses {
    let controllers: Vec<String> =
        split(texts.controllers.as_ref()).into_iter().map(str::to_uppercase).collect();
    let protocols = read_protocols(texts.protocols.as_ref(), errors);
    let mut report = |name, value: &Option<String>, problem| {
        let value = value.clone().unwrap_or_default();
        errors.push(ConfigError::InvalidAddress { name, value, problem });
    };
    let mut addresses = Addresses { listeners: Vec::new(), advertised: Vec::new(), warnings: Vec::new() };
    let mut is_complete = true;
    for text in split(texts.listeners.as_ref()) {
        match listener(text) {
            Ok(listener) if controllers.contains(&listener.name) => {
                addresses.warnings.push(format!(
                    "listener {listener} is left out: it is for controllers, and this node needs none"
                ));
            }
            Ok(listener) => {
                let problem = check_protocol(&listener.name, &protocols)
                    .or_else(|| check_distinct(&listener, &addresses.listeners));
                match problem {
                    None => addresses.listeners.push(listener),
                    Some(problem) => {
                        is_complete = false;
                        report("listeners", &texts.listeners, problem);
                    }
                }
            }
            Err(problem) => {
                is_complete = false;
                report("listeners", &texts.listeners, problem);
            }
        }
    }
    if addresses.listeners.is_empty() && is_complete {
        report("listeners", &texts.listeners, AddressProblem::NoListener);
    }
    for text in split(texts.advertised.as_ref()) {
        match listener(text) {
            Ok(listener) if controllers.contains(&listener.name) => {}
            Ok(listener) => match check_advertised(&listener, &addresses.listeners, is_complete) {
                None => addresses.advertised.push(listener),
                Some(problem) => report("advertised.listeners", &texts.advertised, problem),
            },
            Err(problem) => report("advertised.listeners", &texts.advertised, problem),
        }
    }
    addresses
}

/// Reads `HOST:PORT`; an IPv6 address is in brackets.
///
/// # Errors
/// When it is nothing of that form.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, AddressProblem> {
    let problem = || AddressProblem::NotAnEndpoint(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(problem)?;
    let port = port.parse().map_err(|_| problem())?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => address,
        Some(_) => return Err(problem()),
        None if host.contains([':', '[', ']', '/', '@', ' ']) => return Err(problem()),
        None => host,
    };
    Ok(Endpoint { host: host.to_owned(), port })
}

fn listener(text: &str) -> Result<Listener, AddressProblem> {
    match text.split_once("://") {
        Some((name, address)) if !name.is_empty() => {
            Ok(Listener { name: name.to_uppercase(), endpoint: endpoint(address)? })
        }
        Some(_) | None => Err(AddressProblem::NotAListener(text.to_owned())),
    }
}

fn read_protocols(text: Option<&String>, errors: &mut Vec<ConfigError>) -> BTreeMap<String, String> {
    let mut protocols = BTreeMap::new();
    for entry in split(text) {
        match entry.split_once(':') {
            Some((name, protocol)) => {
                protocols.insert(name.trim().to_uppercase(), protocol.trim().to_uppercase());
            }
            None => errors.push(ConfigError::InvalidAddress {
                name: "listener.security.protocol.map",
                value: text.cloned().unwrap_or_default(),
                problem: AddressProblem::NotAProtocol(entry.to_owned()),
            }),
        }
    }
    protocols
}

fn check_protocol(name: &str, protocols: &BTreeMap<String, String>) -> Option<AddressProblem> {
    match protocols.get(name).map(String::as_str) {
        Some("PLAINTEXT") => None,
        Some(protocol) => {
            Some(AddressProblem::NotServed { name: name.to_owned(), protocol: protocol.to_owned() })
        }
        None => Some(AddressProblem::NoProtocol(name.to_owned())),
    }
}

fn check_distinct(listener: &Listener, others: &[Listener]) -> Option<AddressProblem> {
    let port = listener.endpoint.port;
    if others.iter().any(|other| other.name == listener.name) {
        return Some(AddressProblem::SameName(listener.name.clone()));
    }
    let clashes = |other: &&Listener| {
        other.endpoint.port == port && !are_two_families(&other.endpoint, &listener.endpoint)
    };
    (port != 0 && others.iter().any(|other| clashes(&other))).then_some(AddressProblem::SamePort(port))
}

/// One IPv4 and one IPv6 address may share a port. Source: KIP-797.
fn are_two_families(one: &Endpoint, other: &Endpoint) -> bool {
    let (is_4, is_6) =
        (|text: &str| text.parse::<Ipv4Addr>().is_ok(), |text: &str| text.parse::<Ipv6Addr>().is_ok());
    is_4(&one.host) && is_6(&other.host) || is_6(&one.host) && is_4(&other.host)
}

fn check_advertised(
    listener: &Listener,
    listening: &[Listener],
    is_complete: bool,
) -> Option<AddressProblem> {
    if is_complete && !listening.iter().any(|other| other.name == listener.name) {
        return Some(AddressProblem::NotListening(listener.name.clone()));
    }
    let is_unspecified = ["", "0.0.0.0", "::"].contains(&listener.endpoint.host.as_str());
    is_unspecified.then(|| AddressProblem::NotRoutable(listener.to_string()))
}

fn split(text: Option<&String>) -> Vec<&str> {
    text.map(|text| value::split_list(text)).unwrap_or_default()
}
