//! The addresses that a person gives to begin with.

use std::net::Ipv6Addr;

/// Where Kafka listens unless somebody says otherwise.
const DEFAULT_PORT: u16 = 9092;

/// Comma-separated addresses, each with its port.
///
/// # Errors
/// A sentence, where there is none or one is no address.
pub(crate) fn bootstrap(text: &str) -> Result<String, String> {
    let addresses = text.split(',').map(str::trim).filter(|address| !address.is_empty());
    let addresses: Vec<String> = addresses.map(with_port).collect::<Result<_, _>>()?;
    match addresses.is_empty() {
        true => Err("it names no broker".to_owned()),
        false => Ok(addresses.join(",")),
    }
}

fn with_port(address: &str) -> Result<String, String> {
    if address.parse::<Ipv6Addr>().is_ok() {
        return Ok(format!("[{address}]:{DEFAULT_PORT}"));
    }
    if !address.contains(':') || address.ends_with(']') {
        return Ok(format!("{address}:{DEFAULT_PORT}"));
    }
    let parts = address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
    match parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        true => Ok(address.to_owned()),
        false => Err(format!("{address} is not HOST:PORT, such as localhost:9092 or [::1]:9092")),
    }
}

#[cfg(test)]
mod tests {
    use super::bootstrap;

    #[test]
    fn an_address_without_a_port_means_kafkas() {
        assert_eq!(
            bootstrap("a, b:1,,::1,[::2],[::3]:7").unwrap(),
            "a:9092,b:1,[::1]:9092,[::2]:9092,[::3]:7"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for wrong in ["http://localhost:9092", "localhost:", "localhost:99999", ":9092", "a:b", "ok:1,a:b"] {
            assert!(
                bootstrap(wrong).unwrap_err().contains("is not HOST:PORT, such as localhost:9092"),
                "{wrong}"
            );
        }
        assert_eq!(bootstrap(" , ").unwrap_err(), "it names no broker");
    }
}
