//! Networks by their prefix, and sets of them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The length of `::ffff:0:0/96`, below which the IPv4-mapped addresses lie (RFC 4291 §2.5.5.2).
const MAPPED: u8 = 96;

/// A network: all addresses of one family that start with its prefix.
///
/// An IPv4-mapped IPv6 address counts as the IPv4 address, in networks and in what is looked up: it is how a socket of
/// both families shows an IPv4 client. In text a network of IPv4 is written as one. No IPv6 network therefore contains an IPv4 address, `::/0` included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    /// The lowest address; one of IPv4 in its mapped form.
    first: u128,
    /// Of the 128 bits.
    length: u8,
    is_ipv4: bool,
}

/// Why something is not a network: the fault of whoever wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetworkError {
    /// Not an IPv4 or IPv6 address in front of the slash.
    Address,
    /// No number behind the slash, or one that is larger than addresses are long.
    Length {
        /// The bits of an address.
        most: u8,
    },
    /// The address has bits set behind the prefix; this is the network that contains it.
    HostBits(Network),
    /// A network of IPv4, written as one of IPv6; this is how it is written.
    Mapped(Network),
}

impl Network {
    /// The network of `address` and the addresses that share its first `length` bits, as the family counts them.
    ///
    /// # Errors
    /// The family's addresses have fewer bits, or `address` has bits set behind the prefix.
    pub fn new(address: IpAddr, length: u8) -> Result<Network, NetworkError> {
        let network = Network::around(address, length);
        let most = family_bits(network.is_ipv4);
        if length > most {
            return Err(NetworkError::Length { most });
        }
        if network.first == to_number(address).0 { Ok(network) } else { Err(NetworkError::HostBits(network)) }
    }

    /// The network of `length` bits that `address` is in; a longer `length` than the family's means the address alone.
    #[inline]
    pub fn around(address: IpAddr, length: u8) -> Network {
        let (number, is_ipv4) = to_number(address);
        let length = length.min(family_bits(is_ipv4)) + if is_ipv4 { MAPPED } else { 0 };
        Network { first: number & prefix_mask(length), length, is_ipv4 }
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (number, is_ipv4) = to_number(address);
        self.contains_number(number, is_ipv4)
    }

    /// The lowest address.
    pub fn address(&self) -> IpAddr {
        let address = Ipv6Addr::from_bits(self.first);
        if self.is_ipv4 { IpAddr::V6(address).to_canonical() } else { IpAddr::V6(address) }
    }

    /// The length of the prefix in bits, as the family counts them.
    pub fn prefix_length(&self) -> u8 {
        if self.is_ipv4 { self.length - MAPPED } else { self.length }
    }

    /// Whether each address of `other` is in it.
    pub fn covers(&self, other: &Network) -> bool {
        self.length <= other.length && self.contains_number(other.first, other.is_ipv4)
    }

    /// Sixteen octets that no other network of the same family and length has.
    pub fn octets(&self) -> [u8; 16] {
        self.first.to_be_bytes()
    }

    fn contains_number(&self, number: u128, is_ipv4: bool) -> bool {
        self.is_ipv4 == is_ipv4 && number & prefix_mask(self.length) == self.first
    }
}

/// Networks, and which of them an address is in. A look-up takes a binary search and one step for each network of the
/// set around the one that is found there.
#[derive(Clone, Debug, Default)]
pub struct NetworkSet {
    /// By lowest address, the larger network first.
    networks: Vec<Network>,
    /// For each, the smallest of the others that contains it.
    around: Vec<Option<u32>>,
}

impl NetworkSet {
    /// The set of `networks`.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> NetworkSet {
        let mut networks: Vec<_> = networks.into_iter().collect();
        networks.sort_unstable_by_key(|network| (network.first, network.length));
        networks.dedup();
        let mut around = Vec::with_capacity(networks.len());
        // Two networks are apart, or one contains the other: those that are still open form a stack.
        let mut open: Vec<u32> = Vec::new();
        for (index, network) in networks.iter().enumerate() {
            // Of either family: what is around a network of IPv6 may be around networks of IPv4 before it.
            let spans = |outer: u32| {
                let outer = networks[outer as usize];
                outer.length <= network.length && network.first & prefix_mask(outer.length) == outer.first
            };
            while open.last().is_some_and(|&outer| !spans(outer)) {
                open.pop();
            }
            around.push(open.last().copied());
            open.push(index as u32);
        }
        NetworkSet { networks, around }
    }

    /// Whether `address` is in any of them.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.longest_match(address).is_some()
    }

    /// The smallest network that `address` is in.
    pub fn longest_match(&self, address: IpAddr) -> Option<Network> {
        let (number, is_ipv4) = to_number(address);
        // What contains the address starts at it or before; of these the last is in it, or beside it in one that is.
        let behind = self.networks.partition_point(|network| network.first <= number);
        let mut candidate = behind.checked_sub(1);
        while let Some(index) = candidate {
            if self.networks[index].contains_number(number, is_ipv4) {
                return Some(self.networks[index]);
            }
            candidate = self.around[index].map(|outer| outer as usize);
        }
        None
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The networks in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = Network> + '_ {
        self.networks.iter().copied()
    }
}

impl FromIterator<Network> for NetworkSet {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> NetworkSet {
        NetworkSet::new(networks)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// An address, a slash and the prefix's length; or an address alone.
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let most = family_bits(address.is_ipv4());
        let length = length.map_or(Some(most), number).filter(|length| *length <= most);
        let length = length.ok_or(NetworkError::Length { most })?;
        if matches!(address, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()) {
            return Err(NetworkError::Mapped(Network::around(address, length.saturating_sub(MAPPED))));
        }
        Network::new(address, length)
    }
}

/// The standard library's parser would take a sign.
fn number(digits: &str) -> Option<u8> {
    if digits.bytes().all(|octet| octet.is_ascii_digit()) { digits.parse().ok() } else { None }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix_length())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NetworkError {
    /// What the writer has to know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkError::Address => f.write_str("it starts with no IPv4 or IPv6 address"),
            NetworkError::Length { most } => write!(f, "its prefix is a number from 0 to {most}"),
            NetworkError::HostBits(network) => write!(f, "it has host bits; write {network}"),
            NetworkError::Mapped(network) => write!(f, "write {network}"),
        }
    }
}

impl std::error::Error for NetworkError {}

/// The address as a number, IPv4 in its mapped form, and whether it is one of IPv4.
#[inline]
fn to_number(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped().to_bits(), true),
        IpAddr::V6(ip) => (ip.to_bits(), ip.to_ipv4_mapped().is_some()),
    }
}

fn family_bits(is_ipv4: bool) -> u8 {
    if is_ipv4 { 32 } else { 128 }
}

/// The first `length` of 128 bits.
pub fn prefix_mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}
