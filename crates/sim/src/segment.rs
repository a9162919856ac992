//! A TCP segment in an IP packet, put together and taken apart.
//!
//! Written apart from `afpa_wire` on purpose: every packet of every test is read by both, so a mistake in the one
//! does not hide behind the same mistake in the other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::flags::Flags;
use crate::option::TcpOption;

/// The protocol number of TCP.
pub(crate) const TCP: u8 = 6;
/// The octets of an IPv4 header without options, and of TCP's.
const SHORT_HEADER: usize = 20;

/// A segment and what IP says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// The two bits of explicit congestion notification in the IP header (RFC 3168 §5).
    pub ecn: u8,
    /// The sequence number of the first octet, or of SYN.
    pub sequence: u32,
    /// The next sequence number expected, if ACK is set.
    pub acknowledgment: u32,
    /// The flags.
    pub flags: Flags,
    /// The window, not scaled.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// The options in order.
    pub options: Vec<TcpOption>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Segment {
    /// A segment with no more than addresses.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Segment {
        Segment {
            source,
            destination,
            ecn: 0,
            sequence: 0,
            acknowledgment: 0,
            flags: Flags::NONE,
            window: 0,
            urgent: 0,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// The sequence numbers that it takes up (RFC 9293 §3.4: SEG.LEN).
    pub fn length(&self) -> u32 {
        let flags = u32::from(self.flags.contains(Flags::SYN)) + u32::from(self.flags.contains(Flags::FIN));
        self.payload.len() as u32 + flags
    }

    /// The timestamps, if it carries any.
    pub fn timestamps(&self) -> Option<(u32, u32)> {
        self.options.iter().find_map(|option| match option {
            TcpOption::Timestamps { value, echo } => Some((*value, *echo)),
            _ => None,
        })
    }

    /// The IP packet, with good checksums.
    pub fn encode(&self) -> Vec<u8> {
        let mut options = Vec::new();
        self.options.iter().for_each(|option| option.encode(&mut options));
        // RFC 7323 appendix A aligns the timestamps so; other options do not mind.
        while !options.len().is_multiple_of(4) {
            options.push(1);
        }
        options.truncate(40);
        let mut tcp = Vec::with_capacity(SHORT_HEADER + options.len() + self.payload.len());
        tcp.extend(self.source.port().to_be_bytes());
        tcp.extend(self.destination.port().to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledgment.to_be_bytes());
        tcp.extend([((SHORT_HEADER + options.len()) << 2) as u8, self.flags.0]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(options);
        tcp.extend(&self.payload);
        let sum = checksum(pseudo_header(self.source.ip(), self.destination.ip(), TCP, tcp.len()), &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut packet = ip_header(self.source.ip(), self.destination.ip(), self.ecn, TCP, tcp.len());
        packet.extend(tcp);
        packet
    }

    /// Takes a packet apart and checks lengths and checksums.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(packet: &[u8]) -> Result<Segment, String> {
        let ip = Ip::decode(packet)?;
        if ip.protocol != TCP {
            return Err(format!("protocol {}", ip.protocol));
        }
        let tcp = ip.payload;
        if tcp.len() < SHORT_HEADER {
            return Err(format!("{} octets of TCP", tcp.len()));
        }
        let header = usize::from(tcp[12] >> 4) * 4;
        if header < SHORT_HEADER || header > tcp.len() {
            return Err(format!("a TCP header of {header} octets in {}", tcp.len()));
        }
        if checksum(pseudo_header(ip.source, ip.destination, TCP, tcp.len()), tcp) != 0 {
            return Err("a TCP checksum that is wrong".into());
        }
        let half = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        Ok(Segment {
            source: SocketAddr::new(ip.source, half(0)),
            destination: SocketAddr::new(ip.destination, half(2)),
            ecn: ip.ecn,
            sequence: word(4),
            acknowledgment: word(8),
            flags: Flags(tcp[13]),
            window: half(14),
            urgent: half(18),
            options: TcpOption::decode_all(&tcp[SHORT_HEADER..header])?,
            payload: tcp[header..].to_vec(),
        })
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}: {} seq {}", self.source, self.destination, self.flags, self.sequence)?;
        if !self.payload.is_empty() {
            write!(f, " len {}", self.payload.len())?;
        }
        if self.flags.contains(Flags::ACK) {
            write!(f, " ack {}", self.acknowledgment)?;
        }
        write!(f, " win {}", self.window)?;
        if self.flags.contains(Flags::URG) {
            write!(f, " urg {}", self.urgent)?;
        }
        if self.ecn != 0 {
            write!(f, " ecn {}", ["not", "ect1", "ect0", "ce"][usize::from(self.ecn & 3)])?;
        }
        if !self.options.is_empty() {
            let options: Vec<_> = self.options.iter().map(TcpOption::to_string).collect();
            write!(f, " <{}>", options.join(","))?;
        }
        Ok(())
    }
}

/// An IP header and what follows it.
pub(crate) struct Ip<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ecn: u8,
    pub(crate) protocol: u8,
    pub(crate) payload: &'a [u8],
}

impl<'a> Ip<'a> {
    /// Reads the header that this stack may write: no options, no fragments, no extension headers.
    pub(crate) fn decode(packet: &'a [u8]) -> Result<Ip<'a>, String> {
        match packet.first().map(|octet| octet >> 4) {
            Some(4) if packet.len() >= SHORT_HEADER => Self::decode_v4(packet),
            Some(6) if packet.len() >= 40 => Self::decode_v6(packet),
            _ => Err(format!("{} octets that are no IP packet", packet.len())),
        }
    }

    fn decode_v4(packet: &'a [u8]) -> Result<Ip<'a>, String> {
        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        if packet[0] != 0x45 || length != packet.len() {
            return Err(format!("an IPv4 packet of {} octets that says {length}", packet.len()));
        }
        if checksum(0, &packet[..SHORT_HEADER]) != 0 {
            return Err("an IPv4 checksum that is wrong".into());
        }
        if packet[6] & 0xbf != 0 || packet[7] != 0 {
            return Err("an IPv4 fragment".into());
        }
        let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]).into();
        Ok(Ip {
            source: address(12),
            destination: address(16),
            ecn: packet[1] & 3,
            protocol: packet[9],
            payload: &packet[SHORT_HEADER..],
        })
    }

    fn decode_v6(packet: &'a [u8]) -> Result<Ip<'a>, String> {
        let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
        if length + 40 != packet.len() {
            return Err(format!("an IPv6 packet of {} octets that says {}", packet.len(), length + 40));
        }
        let address = |at: usize| {
            let octets: [u8; 16] = std::array::from_fn(|place| packet[at + place]);
            Ipv6Addr::from(octets).into()
        };
        Ok(Ip {
            source: address(8),
            destination: address(24),
            ecn: packet[1] >> 4 & 3,
            protocol: packet[6],
            payload: &packet[40..],
        })
    }
}

/// A header for so many octets.
pub(crate) fn ip_header(source: IpAddr, destination: IpAddr, ecn: u8, protocol: u8, payload: usize) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, ecn & 3];
            header.extend(((payload + SHORT_HEADER) as u16).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = checksum(0, &header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0x60, (ecn & 3) << 4, 0, 0];
            header.extend((payload as u16).to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
}

/// The sum, not folded, of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1).
pub(crate) fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u64 {
    let addresses = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => sum(&source.octets()) + sum(&destination.octets()),
        (IpAddr::V6(source), IpAddr::V6(destination)) => sum(&source.octets()) + sum(&destination.octets()),
        _ => panic!("{source} and {destination} are of two families"),
    };
    addresses + u64::from(protocol) + length as u64
}

/// The Internet checksum (RFC 1071) of the octets on top of a sum; zero if they contain a good one.
pub(crate) fn checksum(start: u64, octets: &[u8]) -> u16 {
    let mut folded = start + sum(octets);
    while folded >> 16 != 0 {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    !(folded as u16)
}

/// The sum of the 16-bit words, not folded.
fn sum(octets: &[u8]) -> u64 {
    let words = octets.chunks_exact(2);
    let odd = words.remainder().first().map_or(0, |octet| u64::from(*octet) << 8);
    odd + words.map(|word| u64::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_is_taken_apart() {
        for (source, destination) in [("10.0.0.1:80", "10.0.0.2:40000"), ("[fd00::1]:80", "[fd00::2]:40000")] {
            let mut segment = Segment::new(source.parse().unwrap(), destination.parse().unwrap());
            segment.ecn = 3;
            segment.sequence = 0xfffffff0;
            segment.acknowledgment = 7;
            segment.flags = Flags::SYN | Flags::ACK | Flags::CWR;
            segment.window = 501;
            segment.options = vec![
                TcpOption::Mss(1460),
                TcpOption::SackPermitted,
                TcpOption::Timestamps { value: 1, echo: 2 },
                TcpOption::WindowScale(7),
            ];
            segment.payload = vec![1, 2, 3];
            let packet = segment.encode();
            assert_eq!(Segment::decode(&packet), Ok(segment));
            for bit in 0..packet.len() * 8 {
                let mut broken = packet.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                // The IPv6 header has no checksum of its own: traffic class, flow label and hop limit may change.
                let covered =
                    packet[0] == 0x45 || !(0..4).contains(&bit) && !(8..32).contains(&bit) && !(56..64).contains(&bit);
                assert_eq!(Segment::decode(&broken).is_err(), covered, "bit {bit}");
            }
        }
    }
}
