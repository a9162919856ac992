//! The subnet of a client, in a query and in its answer (RFC 7871).

use std::net::IpAddr;

use afpa_wire::network::prefix_mask;

use crate::message::{option, write_option};

/// FAMILY of IPv4 and of IPv6 (RFC 7871 §6).
const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// A client's subnet as an option carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientSubnet {
    family: u16,
    source: u8,
    scope: u8,
    /// The address's first octets, zeros behind them.
    address: [u8; 16],
}

/// An option that is none: the sender's fault, FORMERR (RFC 7871 §7.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubnetError {
    /// It ends before what it announces, or goes on behind it.
    Length,
    /// A family that is neither IPv4 nor IPv6.
    Family,
    /// A prefix that is longer than an address.
    Prefix,
    /// Bits are set behind the prefix.
    Bits,
    /// A query that names a scope.
    Scope,
}

impl ClientSubnet {
    /// The first `prefix` bits of `address`; a longer prefix than the address has bits means all of them.
    pub fn new(address: IpAddr, prefix: u8) -> ClientSubnet {
        let (family, bits, mut octets) = match address {
            IpAddr::V4(address) => {
                let mut octets = [0; 16];
                octets[..4].copy_from_slice(&address.octets());
                (IPV4, 32, octets)
            }
            IpAddr::V6(address) => (IPV6, 128, address.octets()),
        };
        let source = prefix.min(bits);
        mask(&mut octets, source);
        ClientSubnet { family, source, scope: 0, address: octets }
    }

    /// Reads the option's data as a client sends it.
    ///
    /// # Errors
    /// It is none that a query may have.
    pub fn of_query(data: &[u8]) -> Result<ClientSubnet, SubnetError> {
        let subnet = ClientSubnet::read(data)?;
        // RFC 7871 §6: "In queries, it MUST be set to 0."
        if subnet.scope == 0 { Ok(subnet) } else { Err(SubnetError::Scope) }
    }

    /// Reads the option's data as a server sends it.
    ///
    /// # Errors
    /// It is none.
    pub fn of_answer(data: &[u8]) -> Result<ClientSubnet, SubnetError> {
        ClientSubnet::read(data)
    }

    fn read(data: &[u8]) -> Result<ClientSubnet, SubnetError> {
        let (&[high, low, source, scope], octets) = data.split_first_chunk().ok_or(SubnetError::Length)?;
        let family = u16::from_be_bytes([high, low]);
        let bits = match family {
            IPV4 => 32,
            IPV6 => 128,
            // Some clients say "nobody" without naming a family.
            0 => 0,
            _ => return Err(SubnetError::Family),
        };
        if source > bits || scope > bits {
            return Err(SubnetError::Prefix);
        }
        // RFC 7871 §6: as many octets as the prefix needs, and no bit behind it.
        if octets.len() != usize::from(source).div_ceil(8) {
            return Err(SubnetError::Length);
        }
        let mut address = [0; 16];
        address[..octets.len()].copy_from_slice(octets);
        let mut masked = address;
        mask(&mut masked, source);
        if masked != address {
            return Err(SubnetError::Bits);
        }
        Ok(ClientSubnet { family, source, scope, address })
    }

    /// Its address, zero behind the prefix.
    pub fn address(&self) -> IpAddr {
        match self.address {
            [a, b, c, d, ..] if self.family == IPV4 => IpAddr::from([a, b, c, d]),
            octets => IpAddr::from(octets),
        }
    }

    /// SOURCE PREFIX-LENGTH, in bits. Zero: the client does not want to be told apart.
    pub fn source_prefix(&self) -> u8 {
        self.source
    }

    /// SCOPE PREFIX-LENGTH, in bits: for how large a network the answer holds.
    pub fn scope_prefix(&self) -> u8 {
        self.scope
    }

    /// The same with at most `ipv4` or `ipv6` bits: a server passes on no more than it must (RFC 7871 §11.1).
    pub fn shortened(mut self, ipv4: u8, ipv6: u8) -> ClientSubnet {
        let most = if self.family == IPV4 { ipv4 } else { ipv6 };
        self.source = self.source.min(most);
        mask(&mut self.address, self.source);
        self
    }

    /// Whether an answer with `answered` is one to this: family, source prefix and address are equal (RFC 7871 §7.3).
    pub fn is_echoed_by(&self, answered: &ClientSubnet) -> bool {
        (self.family, self.source, self.address) == (answered.family, answered.source, answered.address)
    }

    /// Appends the option, scope zero as in a query.
    pub(crate) fn write_query(&self, into: &mut Vec<u8>) {
        let address = &self.address[..usize::from(self.source).div_ceil(8)];
        write_option(into, option::CLIENT_SUBNET, &[&self.family.to_be_bytes(), &[self.source, 0], address]);
    }
}

/// Clears all but the first `prefix` bits.
fn mask(octets: &mut [u8; 16], prefix: u8) {
    *octets = (u128::from_be_bytes(*octets) & prefix_mask(prefix)).to_be_bytes();
}

impl std::fmt::Display for SubnetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SubnetError::Length => "a client subnet that is shorter or longer than its prefix",
            SubnetError::Family => "a client subnet of an unknown family",
            SubnetError::Prefix => "a client subnet with a prefix longer than an address",
            SubnetError::Bits => "a client subnet with bits behind its prefix",
            SubnetError::Scope => "a client subnet with a scope in a query",
        })
    }
}

impl std::error::Error for SubnetError {}
