//! What the transport is told when it is made.

use std::net::IpAddr;

use afpa_engine::TransportId;
use afpa_tcp::Config as TcpConfig;
use afpa_wire::MacAddress;

/// One engine's part of an interface.
#[derive(Clone, Debug)]
pub struct DirectConfig {
    /// Its place among the engine's transports.
    pub transport: TransportId,
    /// The interface's link address.
    pub link_address: MacAddress,
    /// Where a connection that we open leaves from if the kernel's tables do not say: the first of the
    /// peer's family.
    pub addresses: Vec<IpAddr>,
    /// Whether these addresses are a host's of our own: no kernel has them, and we answer for them on the link
    /// (ARP, neighbour discovery) and ask for others (TAP).
    pub is_host: bool,
    /// Octets of the largest IP packet that the interface takes.
    pub mtu: u16,
    /// Limits and choices of TCP.
    pub tcp: TcpConfig,
    /// Keys everything that peers must not guess (initial sequence numbers, cookies, the table). From the
    /// system's random numbers.
    pub seed: [u8; 32],
}
