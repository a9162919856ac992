//! A packet of either version.

use std::net::IpAddr;

use super::{Ecn, v4, v6};
use crate::{Layer, Malformed, checksum};

/// A valid IP packet: lengths and the checksum of an IPv4 header are right, and the extension headers of
/// IPv6 are walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) octets: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) protocol: u8,
    pub(super) hop_limit: u8,
    pub(super) ecn: Ecn,
    pub(super) is_fragment: bool,
}

/// The versions of IP that there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl<'a> Packet<'a> {
    /// Looks at a packet. What the link added behind its end is cut off.
    ///
    /// # Errors
    /// If it breaks a rule of its version, or is IPv6 and asks to be discarded or to be sent on.
    #[inline]
    pub fn parse(octets: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        match octets.first().map(|first| first >> 4) {
            Some(4) => v4::parse(octets),
            Some(6) => v6::parse(octets),
            Some(other) => Err(Malformed::Version(other)),
            None => Err(Malformed::Truncated(Layer::Ipv4)),
        }
    }

    /// The version of IP.
    #[inline]
    pub const fn version(&self) -> Version {
        match self.source {
            IpAddr::V4(_) => Version::V4,
            IpAddr::V6(_) => Version::V6,
        }
    }

    /// From where. Of the same version as the destination.
    #[inline]
    pub const fn source(&self) -> IpAddr {
        self.source
    }

    /// To where.
    #[inline]
    pub const fn destination(&self) -> IpAddr {
        self.destination
    }

    /// What the payload is: a number of a protocol, never that of an extension header that is walked.
    #[inline]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// What follows the headers. Of a fragment, that is only a piece of what was sent.
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The whole packet, from its first octet to its last, without padding.
    #[inline]
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// What it says about congestion.
    #[inline]
    pub const fn ecn(&self) -> Ecn {
        self.ecn
    }

    /// Whether this is a piece of a larger packet. An IPv6 packet that is its own only fragment is whole
    /// (RFC 6946 §4).
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        self.is_fragment
    }

    /// How many more routers it may pass.
    #[inline]
    pub const fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// The sum of the pseudo-header for the checksum of the payload. Of no use with a fragment.
    #[inline]
    pub fn pseudo_header(&self) -> u16 {
        // A payload is shorter than 2¹⁶ octets, since both versions count it with 16 bits.
        checksum::pseudo_header(self.source, self.destination, self.protocol, self.payload.len() as u32)
    }
}
