//! From where something may be used: networks as CIDR prefixes (RFC 4632, RFC 4291 §2.3).

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// Whom an address stands for when callers are counted: of IPv4 itself, however it is written, of IPv6
/// its first 64 bits, since whoever has one mostly has all others behind them.
pub fn caller_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        address => address,
    }
}

/// Some networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// A text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no address or network, such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct NoNetwork(pub String);

impl Networks {
    /// Reads addresses and prefixes. Bits beyond a prefix do not count, and an address that carries an
    /// IPv4 address is that one.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, NoNetwork> {
        let networks = texts.iter().map(|text| network(text.as_ref()));
        networks.collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them holds the address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether every address of the others is in one of them.
    pub fn hold(&self, others: &Self) -> bool {
        let is_held = |other: &IpNet| self.0.iter().any(|network| network.contains(other));
        others.0.iter().all(is_held)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each as a prefix.
    pub fn to_texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

fn network(text: &str) -> Result<IpNet, NoNetwork> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let found: Result<IpNet, _> = text.parse();
    found
        .map(|network| network.trunc())
        .map_err(|_| NoNetwork(text.chars().take(100).collect()))
}

#[cfg(test)]
mod tests;
