//! ICMP errors about a packet.

use std::net::IpAddr;

use crate::segment::{Ip, checksum, ip_header, pseudo_header};

/// ICMP for IPv4, and for IPv6, as protocol numbers.
const ICMP: [u8; 2] = [1, 58];

/// What a router or a host says about a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Complaint {
    /// It does not fit a link of this MTU (RFC 1191 §4, RFC 4443 §3.2).
    TooBig(u32),
    /// Nobody listens there (RFC 792, RFC 4443 §3.1).
    PortUnreachable,
    /// There is no way there.
    HostUnreachable,
}

/// The error that `from` sends to the packet's source. None if the packet is not one to complain about.
pub fn complain(from: IpAddr, packet: &[u8], complaint: Complaint) -> Option<Vec<u8>> {
    let about = Ip::decode(packet).ok()?;
    let is_v4 = about.source.is_ipv4();
    let protocol = ICMP[usize::from(!is_v4)];
    let (kind, code, value) = match (complaint, is_v4) {
        (Complaint::TooBig(mtu), true) => (3, 4, mtu.min(65_535)),
        (Complaint::TooBig(mtu), false) => (2, 0, mtu),
        (Complaint::PortUnreachable, true) => (3, 3, 0),
        (Complaint::PortUnreachable, false) => (1, 4, 0),
        (Complaint::HostUnreachable, true) => (3, 1, 0),
        (Complaint::HostUnreachable, false) => (1, 3, 0),
    };
    // RFC 792 quotes the IP header and eight octets, RFC 4443 as much as fits the least MTU.
    let quoted = if is_v4 { &packet[..packet.len().min(28)] } else { &packet[..packet.len().min(1232)] };
    let mut message = vec![kind, code, 0, 0];
    message.extend(u32::to_be_bytes(value));
    message.extend(quoted);
    let start = if is_v4 { 0 } else { pseudo_header(from, about.source, protocol, message.len()) };
    let sum = checksum(start, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut reply = ip_header(from, about.source, 0, protocol, message.len());
    reply.extend(message);
    Some(reply)
}
