//! What an image is kept under.

use std::net::IpAddr;

use afpa_wire::network::prefix_mask;

use crate::message::{Name, Query, Question, flag};

/// The bits of a query that change what is answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct KeyFlags(u8);

/// A part of the address space that an answer is for (RFC 7871).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subnet {
    /// 1 for IPv4, 2 for IPv6, as the option has it.
    family: u8,
    prefix: u8,
    /// Zero behind the prefix.
    address: [u8; 16],
}

/// Writes the key of `question` into `into`, which is cleared: the name in lower case and wire form, type, class,
/// flags, and the subnet if answers differ by it.
///
/// A name's end is seen from its octets, so that no two questions have one key.
#[inline]
pub fn key(question: &Question<'_>, flags: KeyFlags, subnet: Option<&Subnet>, into: &mut Vec<u8>) {
    into.clear();
    question.name.write_lowercase(into);
    let ([type_high, type_low], [class_high, class_low]) =
        (question.qtype.0.to_be_bytes(), question.qclass.0.to_be_bytes());
    into.extend_from_slice(&[type_high, type_low, class_high, class_low, flags.0]);
    if let Some(subnet) = subnet {
        into.extend_from_slice(&[subnet.family, subnet.prefix]);
        into.extend_from_slice(&subnet.address[..usize::from(subnet.prefix).div_ceil(8)]);
    }
}

/// Whether `key` is one of `name`, of whatever type: for a purge.
pub fn is_of_name(key: &[u8], name: Name<'_>) -> bool {
    Name::read(key).is_ok_and(|kept| kept == name)
}

/// Whether `key` is one of `name` or of a name below it: for the purge of a subtree.
pub fn is_within(key: &[u8], name: Name<'_>) -> bool {
    Name::read(key).is_ok_and(|kept| kept.is_within(name))
}

impl KeyFlags {
    /// Recursion desired, checking disabled, DNSSEC OK.
    pub const fn new(recursion: bool, unchecked: bool, dnssec: bool) -> KeyFlags {
        KeyFlags(recursion as u8 | (unchecked as u8) << 1 | (dnssec as u8) << 2)
    }

    /// Those of `query`.
    #[inline]
    pub fn of(query: &Query<'_>) -> KeyFlags {
        KeyFlags::new(query.header.has(flag::RD), query.header.has(flag::CD), query.dnssec_ok())
    }
}

impl Subnet {
    /// The subnet that `address` is in, of `prefix` bits, or of all that there are.
    pub fn of(address: IpAddr, prefix: u8) -> Subnet {
        let (family, bits, octets) = match address {
            IpAddr::V4(address) => (1, 32, u128::from(u32::from(address)) << 96),
            IpAddr::V6(address) => (2, 128, u128::from(address)),
        };
        let prefix = prefix.min(bits);
        Subnet { family, prefix, address: (octets & prefix_mask(prefix)).to_be_bytes() }
    }
}
