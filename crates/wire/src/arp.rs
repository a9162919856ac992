//! ARP (RFC 826), of IPv4 over Ethernet only.

use std::net::Ipv4Addr;

use crate::octets::{number16, put};
use crate::{Layer, MacAddress, Malformed};

/// Octets of a packet.
pub const PACKET_LEN: usize = 28;

/// Hardware: Ethernet; protocol: IPv4; addresses of 6 and 4 octets.
const IPV4_OVER_ETHERNET: [u8; 6] = [0, 1, 0x08, 0, 6, 4];

/// A question for the owner of an IPv4 address, or the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Which of the two.
    pub operation: Operation,
    /// The link address of who sent this.
    pub sender_mac: MacAddress,
    /// The IPv4 address of who sent this; unspecified in a probe (RFC 5227 §2.1.1).
    pub sender_ip: Ipv4Addr,
    /// The link address asked for (of no meaning in a request), or of who asked.
    pub target_mac: MacAddress,
    /// The IPv4 address asked for, or of who asked.
    pub target_ip: Ipv4Addr,
}

/// What an ARP packet is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Who has the target's address?
    Request,
    /// The sender has it.
    Reply,
}

impl Packet {
    /// Reads a packet, whatever follows it.
    ///
    /// # Errors
    /// If it is cut short, not of IPv4 over Ethernet, or neither a request nor a reply.
    pub fn parse(octets: &[u8]) -> Result<Packet, Malformed> {
        let Some(packet) = octets.first_chunk::<PACKET_LEN>() else {
            return Err(Malformed::Truncated(Layer::Arp));
        };
        if !packet.starts_with(&IPV4_OVER_ETHERNET) {
            return Err(Malformed::ArpKind);
        }
        let operation = match number16(packet, 6) {
            1 => Operation::Request,
            2 => Operation::Reply,
            other => return Err(Malformed::ArpOperation(other)),
        };
        let [sender_mac, target_mac] = [8, 18].map(|at| MacAddress(std::array::from_fn(|i| packet[at + i])));
        let [sender_ip, target_ip] = [14, 24].map(|at| Ipv4Addr::from(std::array::from_fn(|i| packet[at + i])));
        Ok(Packet { operation, sender_mac, sender_ip, target_mac, target_ip })
    }

    /// Writes the packet to the front of `out` and returns how many octets it took: [`PACKET_LEN`].
    ///
    /// # Panics
    /// If `out` is shorter than that.
    pub fn write(&self, out: &mut [u8]) -> usize {
        put(out, 0, IPV4_OVER_ETHERNET);
        let operation: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        put(out, 6, operation.to_be_bytes());
        put(out, 8, self.sender_mac.0);
        put(out, 14, self.sender_ip.octets());
        put(out, 18, self.target_mac.0);
        put(out, 24, self.target_ip.octets());
        PACKET_LEN
    }
}
