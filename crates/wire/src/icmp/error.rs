//! An error that came in.

use super::{HEADER_LEN, Quoted};
use crate::ip::{self, Packet, Version};
use crate::octets::number32;
use crate::{Layer, Malformed, checksum};

/// What became of a packet. Anyone who can guess addresses and ports can send this: before it is believed,
/// [`Quoted::sequence`] is to be compared with what is under way (RFC 5927 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    /// What happened to it.
    pub kind: Kind,
    /// Which one it was.
    pub quoted: Quoted,
}

/// What happened to a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// It could not be delivered.
    Unreachable(Unreachable),
    /// It was longer than a link can carry, and not to be fragmented.
    TooBig {
        /// The longest packet that the link carries, in octets; zero from routers older than RFC 1191.
        mtu: u32,
    },
    /// Its hop limit was used up, or pieces of it did not arrive in time.
    TimeExceeded,
    /// Its header was not understood.
    ParameterProblem,
}

/// Why a packet could not be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unreachable {
    /// No route, for now (RFC 792 codes 0, 6, 8 and 11; RFC 4443 codes 0 and 2).
    Network,
    /// The host does not answer on its link (RFC 792 codes 1, 7 and 12; RFC 4443 code 3).
    Host,
    /// The host does not speak the protocol.
    Protocol,
    /// Nobody listens at the port.
    Port,
    /// A route that the sender gave failed.
    SourceRoute,
    /// Somebody forbids it.
    Prohibited,
    /// A reason that is not known here.
    Other(u8),
}

impl Error {
    /// Looks at a packet of ICMP or ICMPv6. None if it is of another protocol, not an error (a question,
    /// an answer, a redirect), or an error about a packet of neither TCP nor UDP.
    ///
    /// # Errors
    /// If the message or the packet that it quotes is cut short, the checksum is wrong, or the quoted
    /// packet was not sent by the one to whom the error came.
    pub fn parse(packet: &Packet<'_>) -> Result<Option<Error>, Malformed> {
        let pseudo_header = match (packet.version(), packet.protocol()) {
            (Version::V4, ip::ICMP) => 0,
            (Version::V6, ip::ICMPV6) => packet.pseudo_header(),
            _ => return Ok(None),
        };
        let message = packet.payload();
        let Some((header, quotation)) = message.split_first_chunk::<HEADER_LEN>() else {
            return Err(Malformed::Truncated(Layer::Icmp));
        };
        if checksum::add(checksum::sum(message), pseudo_header) != 0xffff {
            return Err(Malformed::Checksum(Layer::Icmp));
        }
        let [kind, code, ..] = *header;
        let kind = match packet.version() {
            Version::V4 => Kind::v4(kind, code, number32(header, 4)),
            Version::V6 => Kind::v6(kind, code, number32(header, 4)),
        };
        let Some(kind) = kind else { return Ok(None) };
        let Some(quoted) = Quoted::parse(packet.version(), quotation)? else { return Ok(None) };
        if quoted.source != packet.destination() {
            return Err(Malformed::QuotedSource);
        }
        Ok(Some(Error { kind, quoted }))
    }
}

impl Kind {
    /// From type, code and the second word of an ICMP message (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1).
    /// Source quench is not an error: it is to be ignored (RFC 6633 §5).
    fn v4(kind: u8, code: u8, word: u32) -> Option<Kind> {
        Some(match (kind, code) {
            (3, 4) => Kind::TooBig { mtu: word & 0xffff },
            (3, code) => Kind::Unreachable(match code {
                0 | 6 | 8 | 11 => Unreachable::Network,
                1 | 7 | 12 => Unreachable::Host,
                2 => Unreachable::Protocol,
                3 => Unreachable::Port,
                5 => Unreachable::SourceRoute,
                9 | 10 | 13..=15 => Unreachable::Prohibited,
                other => Unreachable::Other(other),
            }),
            (11, _) => Kind::TimeExceeded,
            (12, _) => Kind::ParameterProblem,
            _ => return None,
        })
    }

    /// From type, code and the second word of an ICMPv6 message (RFC 4443 §3).
    fn v6(kind: u8, code: u8, word: u32) -> Option<Kind> {
        Some(match (kind, code) {
            (1, code) => Kind::Unreachable(match code {
                0 | 2 => Unreachable::Network,
                1 | 5 | 6 => Unreachable::Prohibited,
                3 => Unreachable::Host,
                4 => Unreachable::Port,
                7 => Unreachable::SourceRoute,
                other => Unreachable::Other(other),
            }),
            (2, _) => Kind::TooBig { mtu: word },
            (3, _) => Kind::TimeExceeded,
            (4, _) => Kind::ParameterProblem,
            _ => return None,
        })
    }

    /// Type, code and second word, as [`Kind::v4`] reads them.
    pub(super) fn to_v4(self) -> (u8, u8, u32) {
        match self {
            Kind::Unreachable(Unreachable::Network) => (3, 0, 0),
            Kind::Unreachable(Unreachable::Host) => (3, 1, 0),
            Kind::Unreachable(Unreachable::Protocol) => (3, 2, 0),
            Kind::Unreachable(Unreachable::Port) => (3, 3, 0),
            Kind::Unreachable(Unreachable::SourceRoute) => (3, 5, 0),
            Kind::Unreachable(Unreachable::Prohibited) => (3, 13, 0),
            Kind::Unreachable(Unreachable::Other(code)) => (3, code, 0),
            Kind::TooBig { mtu } => (3, 4, mtu.min(0xffff)),
            Kind::TimeExceeded => (11, 0, 0),
            Kind::ParameterProblem => (12, 0, 0),
        }
    }

    /// Type, code and second word, as [`Kind::v6`] reads them. A protocol that is not spoken is a header
    /// that is not understood (RFC 4443 §3.4).
    pub(super) fn to_v6(self) -> (u8, u8, u32) {
        match self {
            Kind::Unreachable(Unreachable::Network) => (1, 0, 0),
            Kind::Unreachable(Unreachable::Prohibited) => (1, 1, 0),
            Kind::Unreachable(Unreachable::Host) => (1, 3, 0),
            Kind::Unreachable(Unreachable::Port) => (1, 4, 0),
            Kind::Unreachable(Unreachable::SourceRoute) => (1, 7, 0),
            Kind::Unreachable(Unreachable::Other(code)) => (1, code, 0),
            Kind::Unreachable(Unreachable::Protocol) => (4, 1, 0),
            Kind::TooBig { mtu } => (2, 0, mtu),
            Kind::TimeExceeded => (3, 0, 0),
            Kind::ParameterProblem => (4, 0, 0),
        }
    }
}
