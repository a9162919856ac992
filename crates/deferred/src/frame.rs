//! What a frame says in front of the octets: see [`Header`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::connection::Addresses;

/// The beginning of a frame, little-endian: `AFPH`; the version, 1 (2 octets); zero (2); how many octets follow (4);
/// the client's address and the one it connected to (24 each). An address is its family (one octet, 4 or 6), a zero,
/// the port (2), the scope (4; zero but for IPv6), and 16 octets of which IPv4 uses the first four, the others being
/// zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) addresses: Addresses,
    /// How many octets follow.
    pub(crate) count: u32,
}

/// Octets of a header.
pub(crate) const HEADER: usize = 12 + 2 * ADDRESS;
const ADDRESS: usize = 24;

/// Why nothing is taken from a sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It does not speak this protocol.
    Foreign,
    /// It speaks another version.
    Version,
    /// What it says cannot be.
    Malformed,
    /// More octets come along than may.
    TooLong,
    /// Not exactly one descriptor came along.
    Descriptors,
    /// The descriptor is no connection of TCP.
    NoConnection,
    /// It ended, or failed, before the frame did.
    Incomplete,
    /// It took too long.
    Late,
    /// It is somebody else's process.
    Stranger,
}

impl Header {
    pub(crate) fn parse(octets: &[u8; HEADER]) -> Result<Header, Fault> {
        if octets[..4] != *b"AFPH" {
            return Err(Fault::Foreign);
        }
        if two(octets, 4) != 1 {
            return Err(Fault::Version);
        }
        if two(octets, 6) != 0 {
            return Err(Fault::Malformed);
        }
        let addresses = Addresses {
            client: parse_address(&octets[12..12 + ADDRESS]).ok_or(Fault::Malformed)?,
            local: parse_address(&octets[12 + ADDRESS..]).ok_or(Fault::Malformed)?,
        };
        Ok(Header { addresses, count: four(octets, 8) })
    }
}

fn parse_address(field: &[u8]) -> Option<SocketAddr> {
    let (port, scope) = (two(field, 2), four(field, 4));
    let ip: [u8; 16] = field.get(8..)?.try_into().ok()?;
    match (field[0], field[1]) {
        (4, 0) if scope == 0 && ip[4..] == [0; 12] => {
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3])), port))
        }
        (6, 0) => Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope))),
        _ => None,
    }
}

fn two(octets: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([octets[at], octets[at + 1]])
}

fn four(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> [u8; HEADER] {
        let mut octets = [0; HEADER];
        octets[..5].copy_from_slice(b"AFPH\x01");
        octets[8..12].copy_from_slice(&7u32.to_le_bytes());
        octets[12..24].copy_from_slice(&[4, 0, 0x39, 0x30, 0, 0, 0, 0, 192, 0, 2, 1]);
        octets[36..44].copy_from_slice(&[6, 0, 80, 0, 3, 0, 0, 0]);
        octets[44] = 0xfe;
        octets[45] = 0x80;
        octets[59] = 1;
        octets
    }

    #[test]
    fn a_header_says_how_much_follows_and_between_whom() {
        let local = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 3);
        let addresses = Addresses { client: "192.0.2.1:12345".parse().unwrap(), local: local.into() };
        assert_eq!(Header::parse(&header()), Ok(Header { addresses, count: 7 }));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (at, octet, fault) in [
            (0, b'X', Fault::Foreign),
            (3, 0, Fault::Foreign),
            (4, 2, Fault::Version),
            (5, 1, Fault::Version),
            (6, 1, Fault::Malformed),
            (12, 0, Fault::Malformed),
            (12, 5, Fault::Malformed),
            (13, 1, Fault::Malformed),
            (16, 1, Fault::Malformed),
            (24, 1, Fault::Malformed),
            (36, 4, Fault::Malformed),
            (37, 9, Fault::Malformed),
        ] {
            let mut octets = header();
            octets[at] = octet;
            assert_eq!(Header::parse(&octets), Err(fault), "octet {at} as {octet}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(octets: [u8; HEADER], valid in 0..HEADER) {
            let mut mixed = header();
            mixed[valid..].copy_from_slice(&octets[valid..]);
            let _ = Header::parse(&mixed);
        }
    }
}
