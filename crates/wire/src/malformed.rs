//! What can be wrong with octets that claim to be a packet.

use std::error::Error;
use std::fmt;

/// Octets that are not what they claim to be. Always the fault of whoever sent them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Malformed {
    /// They end before this header does.
    Truncated(Layer),
    /// The header says that it is shorter than its fixed part, or longer than what it is in.
    HeaderLength(Layer),
    /// The header says that the whole is shorter than the header, or longer than the octets there are.
    TotalLength(Layer),
    /// The checksum does not fit.
    Checksum(Layer),
    /// Neither version 4 nor version 6 of IP, but this.
    Version(u8),
    /// ARP about something other than IPv4 over Ethernet.
    ArpKind,
    /// Neither an ARP request nor a reply, but this.
    ArpOperation(u16),
    /// More IPv6 extension headers than are walked ([`ip::MAX_EXTENSIONS`](crate::ip::MAX_EXTENSIONS)).
    TooManyExtensions,
    /// Hop-by-hop options that do not follow the IPv6 header itself (RFC 8200 §4.1).
    HopByHopPlace,
    /// An unknown option that asks for the packet to be discarded (RFC 8200 §4.2), by its type.
    ExtensionOption(u8),
    /// A routing header with stations left: the packet is on its way to someone else (RFC 8200 §4.4).
    RoutingUnfinished,
    /// An ICMP error about a fragment other than the first, which names no ports.
    QuotedFragment,
    /// An ICMP error about a packet that its receiver did not send.
    QuotedSource,
}

/// The header that a complaint is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Layer {
    /// Ethernet, with or without an 802.1Q tag.
    Ethernet,
    /// ARP.
    Arp,
    /// IPv4.
    Ipv4,
    /// The fixed header of IPv6.
    Ipv6,
    /// An extension header of IPv6, or an option in it.
    Extension,
    /// ICMP of either version.
    Icmp,
    /// The packet that an ICMP error quotes.
    Quoted,
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated(layer) => write!(f, "{layer}: the header is cut short"),
            Malformed::HeaderLength(layer) => write!(f, "{layer}: the length of the header is impossible"),
            Malformed::TotalLength(layer) => write!(f, "{layer}: the length is impossible"),
            Malformed::Checksum(layer) => write!(f, "{layer}: the checksum is wrong"),
            Malformed::Version(version) => write!(f, "IP of version {version}"),
            Malformed::ArpKind => write!(f, "ARP: not about IPv4 over Ethernet"),
            Malformed::ArpOperation(operation) => write!(f, "ARP: operation {operation}"),
            Malformed::TooManyExtensions => write!(f, "IPv6: too many extension headers"),
            Malformed::HopByHopPlace => write!(f, "IPv6: hop-by-hop options are not the first extension header"),
            Malformed::ExtensionOption(kind) => write!(f, "IPv6: unknown option {kind:#04x}"),
            Malformed::RoutingUnfinished => write!(f, "IPv6: a routing header has stations left"),
            Malformed::QuotedFragment => write!(f, "ICMP: quotes a fragment other than the first"),
            Malformed::QuotedSource => write!(f, "ICMP: quotes a packet that its receiver did not send"),
        }
    }
}

impl Error for Malformed {}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Ethernet => "Ethernet",
            Layer::Arp => "ARP",
            Layer::Ipv4 => "IPv4",
            Layer::Ipv6 => "IPv6",
            Layer::Extension => "IPv6 extension header",
            Layer::Icmp => "ICMP",
            Layer::Quoted => "packet quoted by ICMP",
            Layer::Udp => "UDP",
            Layer::Tcp => "TCP",
        })
    }
}
