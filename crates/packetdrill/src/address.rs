//! `struct sockaddr` and [`SocketAddr`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::errno::Errno;

/// The octets of a `sockaddr_in6`, the longest that is written here.
pub(crate) const LONGEST: usize = 28;
const LENGTH_V4: usize = 16;

/// Reads a `sockaddr_in` or `sockaddr_in6`. An IPv4 address mapped into IPv6 comes out as IPv4.
pub(crate) fn decode(octets: &[u8]) -> Result<SocketAddr, Errno> {
    let family = octets.first_chunk::<2>().map(|&field| i32::from(u16::from_ne_bytes(field))).ok_or(Errno::INVALID)?;
    let port = |octets: &[u8]| {
        octets.get(2..).and_then(|rest| rest.first_chunk::<2>()).map(|&field| u16::from_be_bytes(field))
    };
    let address = match family {
        libc::AF_INET if octets.len() >= LENGTH_V4 => {
            octets.get(4..).and_then(|rest| rest.first_chunk::<4>()).map(|&field| IpAddr::V4(Ipv4Addr::from(field)))
        }
        libc::AF_INET6 if octets.len() >= LONGEST => octets
            .get(8..)
            .and_then(|rest| rest.first_chunk::<16>())
            .map(|&field| IpAddr::V6(Ipv6Addr::from(field)).to_canonical()),
        libc::AF_INET | libc::AF_INET6 => return Err(Errno::INVALID),
        _ => return Err(Errno::ADDRESS_FAMILY),
    };
    match (address, port(octets)) {
        (Some(address), Some(port)) => Ok(SocketAddr::new(address, port)),
        _ => Err(Errno::INVALID),
    }
}

/// Writes one, and says how long it is. A socket of the IPv6 domain sees IPv4 peers as mapped addresses.
pub(crate) fn encode(address: SocketAddr, is_v6_domain: bool) -> ([u8; LONGEST], usize) {
    let mut octets = [0; LONGEST];
    octets[2..4].copy_from_slice(&address.port().to_be_bytes());
    let mapped = match address.ip() {
        IpAddr::V4(v4) if !is_v6_domain => {
            octets[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            octets[4..8].copy_from_slice(&v4.octets());
            return (octets, LENGTH_V4);
        }
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    octets[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
    octets[8..24].copy_from_slice(&mapped.octets());
    (octets, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes() {
        for (text, is_v6_domain) in
            [("192.0.2.1:80", false), ("192.0.2.1:80", true), ("[2001:db8::1]:65535", true), ("[2001:db8::1]:1", false)]
        {
            let address: SocketAddr = text.parse().unwrap();
            let (octets, length) = encode(address, is_v6_domain);
            assert_eq!(decode(&octets[..length]), Ok(address));
            assert_eq!(decode(&octets[..length - 1]), Err(Errno::INVALID));
        }
        assert_eq!(decode(&[]), Err(Errno::INVALID));
        assert_eq!(decode(&[0; 28]), Err(Errno::ADDRESS_FAMILY));
    }
}
