//! Networks by their prefix.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The length of `::ffff:0:0/96`, below which the IPv4-mapped addresses lie (RFC 4291 §2.5.5.2).
const MAPPED: u8 = 96;

/// All addresses of one family that start with a prefix. An IPv4-mapped IPv6 address counts as the IPv4 address: it is
/// how a socket of both families shows an IPv4 client. No IPv6 network contains an IPv4 address, `::/0` included.
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
    /// No number behind the slash, or one larger than this, the bits of an address.
    Length(u8),
    /// The address has bits set behind the prefix; this is the network that contains it.
    HostBits(Network),
}

impl Network {
    /// The network of `length` bits that `address` is in; a longer `length` than the family's means the address alone.
    #[inline]
    pub fn around(address: IpAddr, length: u8) -> Network {
        let (number, is_ipv4) = to_number(address);
        let length = if is_ipv4 { length.min(32) + MAPPED } else { length.min(128) };
        Network { first: number & prefix_mask(length), length, is_ipv4 }
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (number, is_ipv4) = to_number(address);
        self.is_ipv4 == is_ipv4 && number & prefix_mask(self.length) == self.first
    }

    /// What no other network of the same family and length has.
    pub(crate) fn number(&self) -> u128 {
        self.first
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
        let most = if address.to_canonical().is_ipv4() { 32 } else { 128 };
        // The standard library's parser would take a sign.
        let number = |digits: &str| digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok())?;
        let length = length.map_or(Some(most), number).filter(|length| *length <= most);
        let network = Network::around(address, length.ok_or(NetworkError::Length(most))?);
        if network.first == to_number(address).0 { Ok(network) } else { Err(NetworkError::HostBits(network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.first);
        match address.to_ipv4_mapped().filter(|_| self.is_ipv4) {
            Some(address) => write!(f, "{address}/{}", self.length - MAPPED),
            None => write!(f, "{address}/{}", self.length),
        }
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
            NetworkError::Length(most) => write!(f, "its prefix is a number from 0 to {most}"),
            NetworkError::HostBits(network) => write!(f, "it has host bits; write {network}"),
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

/// The first `length` of 128 bits.
fn prefix_mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}
