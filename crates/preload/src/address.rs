//! Socket addresses as C has them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

const INET: u16 = libc::AF_INET as u16;
const INET6: u16 = libc::AF_INET6 as u16;

/// The address in the octets of a `sockaddr`; `None` if it is not one of IP.
pub(crate) fn parse(octets: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(octets.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?);
    match family {
        INET => {
            let ip: [u8; 4] = octets.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::new(IpAddr::from(ip), port))
        }
        INET6 => {
            let ip: [u8; 16] = octets.get(8..24)?.try_into().ok()?;
            let scope = octets.get(24..28).and_then(|scope| scope.try_into().ok()).map_or(0, u32::from_ne_bytes);
            Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope)))
        }
        _ => None,
    }
}

/// The octets of a `sockaddr`, and how many there are.
pub(crate) fn octets(address: SocketAddr) -> ([u8; 28], usize) {
    let mut octets = [0; 28];
    octets[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            octets[..2].copy_from_slice(&INET.to_ne_bytes());
            octets[4..8].copy_from_slice(&v4.ip().octets());
            (octets, 16)
        }
        SocketAddr::V6(v6) => {
            octets[..2].copy_from_slice(&INET6.to_ne_bytes());
            octets[8..24].copy_from_slice(&v6.ip().octets());
            octets[24..].copy_from_slice(&v6.scope_id().to_ne_bytes());
            (octets, 28)
        }
    }
}

/// The address as a socket of the family has it: on one of IPv6, addresses of IPv4 are mapped (RFC 4291 §2.5.5.2).
pub(crate) fn in_family(address: SocketAddr, v6: bool) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v6 => SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()),
        SocketAddr::V6(v6_address) if !v6 => {
            SocketAddr::new(IpAddr::V6(*v6_address.ip()).to_canonical(), v6_address.port())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        for address in ["192.0.2.1:80", "[2001:db8::1]:65535", "[fe80::1%3]:1"] {
            let address: SocketAddr = address.parse().unwrap();
            let (bytes, length) = octets(address);
            assert_eq!(parse(&bytes[..length]), Some(address));
        }
    }

    #[test]
    fn what_is_no_address_of_ip_is_none() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[libc::AF_UNIX as u8, 0, b'/', b'x']), None);
        assert_eq!(parse(&octets("192.0.2.1:80".parse().unwrap()).0[..7]), None);
    }

    #[test]
    fn addresses_of_ipv4_are_mapped_on_sockets_of_ipv6() {
        let address = "192.0.2.1:80".parse().unwrap();
        let mapped = in_family(address, true);
        assert_eq!(mapped, "[::ffff:192.0.2.1]:80".parse().unwrap());
        assert_eq!(in_family(mapped, false), address);
    }
}
