//! Which sockets go to the TCP server, as the environment says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

/// Ports and networks; an empty list is all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Filter {
    ports: Vec<RangeInclusive<u16>>,
    networks: Vec<(IpAddr, u8)>,
}

impl Filter {
    /// From lists with commas: ports and ranges of them (`80,8000-8999`), addresses and networks (`10.0.0.0/8,::1`).
    pub(crate) fn parse(ports: &str, networks: &str) -> Result<Filter, String> {
        Ok(Filter {
            ports: items(ports)
                .map(|item| range(item).ok_or_else(|| format!("{item:?} is no port")))
                .collect::<Result<_, _>>()?,
            networks: items(networks)
                .map(|item| network(item).ok_or_else(|| format!("{item:?} is no network")))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether a socket is offloaded that listens on the address or connects to it. Who listens on all addresses
    /// listens on those of every network.
    pub(crate) fn takes(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let port = self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(&address.port()));
        let near = |(network, bits): &(IpAddr, u8)| is_within(ip, *network, *bits);
        port && (self.networks.is_empty() || ip.is_unspecified() || self.networks.iter().any(near))
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn range(item: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some(first..=last)
}

fn network(item: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match item.split_once('/') {
        Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse::<u8>().ok()?)),
        None => (item.parse().ok()?, None),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let wide = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    ip.is_ipv4() == network.is_ipv4() && (wide(ip) ^ wide(network)) & mask == 0
}

/// The address of a socket that is bound to none.
pub(crate) const UNBOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(ports: &str, networks: &str, address: &str) -> bool {
        Filter::parse(ports, networks).unwrap().takes(address.parse().unwrap())
    }

    #[test]
    fn an_empty_list_is_everything() {
        assert!(takes("", "", "192.0.2.1:80"));
        assert!(takes(" , ", "", "[::1]:1"));
    }

    #[test]
    fn ports_and_ranges() {
        assert!(takes("80, 8000-8999", "", "192.0.2.1:8080"));
        assert!(takes("80,8000-8999", "", "192.0.2.1:80"));
        assert!(!takes("80,8000-8999", "", "192.0.2.1:9000"));
    }

    #[test]
    fn networks_of_either_family() {
        assert!(takes("", "10.0.0.0/8", "10.255.0.1:1"));
        assert!(!takes("", "10.0.0.0/8", "11.0.0.1:1"));
        assert!(takes("", "10.0.0.0/8", "[::ffff:10.0.0.1]:1"));
        assert!(takes("", "2001:db8::/32,127.0.0.1", "127.0.0.1:1"));
        assert!(!takes("", "2001:db8::/32,127.0.0.1", "[2001:db9::1]:1"));
        assert!(takes("", "0.0.0.0/0", "8.8.8.8:53"));
        assert!(takes("", "10.0.0.0/8", "0.0.0.0:80"), "a listener of all addresses");
    }

    #[test]
    fn nonsense_is_named() {
        assert!(Filter::parse("http", "").unwrap_err().contains("http"));
        assert!(Filter::parse("9-1", "").is_err());
        assert!(Filter::parse("", "10.0.0.0/33").is_err());
    }
}
