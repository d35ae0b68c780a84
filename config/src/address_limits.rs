//! How many connections single addresses may have, as `max.connections.per.ip.overrides` names them:
//! `address:count,address:count,…`. Host names are not looked up: what one stands for may change while the broker runs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::value::{Typed, Value};

/// The limits of addresses that have one of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressLimits(BTreeMap<IpAddr, u32>);

impl AddressLimits {
    /// The limit of this address, where it has one.
    #[must_use]
    pub fn of_address(&self, address: IpAddr) -> Option<u32> {
        self.0.get(&address.to_canonical()).copied()
    }

    /// Reads the value of the key; none where a part of it names no address and count.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let limit = |part: &str| {
            let (address, count) = part.rsplit_once(':')?;
            let address = address.trim().trim_start_matches('[').trim_end_matches(']');
            let address: IpAddr = address.parse().ok()?;
            Some((address.to_canonical(), count.trim().parse().ok()?))
        };
        parts.map(limit).collect::<Option<_>>().map(Self)
    }
}

impl Typed for AddressLimits {
    fn of(value: &Value) -> Self {
        Self::read(&value.to_string()).expect("the key's rule lets only limits of addresses through")
    }

    fn value(&self) -> Value {
        let limits = self.0.iter().map(|(address, count)| format!("{address}:{count}"));
        Value::Text(limits.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::AddressLimits;
    use crate::keys;
    use crate::value::Typed;

    fn read(text: &str) -> Result<AddressLimits, String> {
        let key = keys::broker_key("max.connections.per.ip.overrides").expect("there is such a key");
        key.read(text).map(|value| AddressLimits::of(&value)).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_are_those_of_the_addresses_that_are_named() {
        let limits = read(" 127.0.0.1:5, ::1:7,[fe80::1]:0 ").unwrap();
        let of = |address: &str| limits.of_address(address.parse().unwrap());
        assert_eq!((of("127.0.0.1"), of("::ffff:127.0.0.1"), of("::1")), (Some(5), Some(5), Some(7)));
        assert_eq!((of("fe80::1"), of("127.0.0.2")), (Some(0), None));
        assert_eq!(read("").unwrap(), AddressLimits::default());
        assert_eq!(limits.value().to_string(), "127.0.0.1:5,::1:7,fe80::1:0");
    }

    #[test]
    fn whatever_names_no_address_and_count_is_refused() {
        for text in
            ["1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1", "somewhere:1", "127.0.0.1:1:2", "127.0.0.1:1,x"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(
            read("somewhere:1").unwrap_err(),
            "Invalid value somewhere:1 for configuration max.connections.per.ip.overrides: it must be a list of addresses \
             with a count each: 127.0.0.1:100,::1:200"
        );
    }
}
