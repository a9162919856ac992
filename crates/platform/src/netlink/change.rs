//! What the kernel says about an interface.

use std::net::IpAddr;

/// One fact about the interface. Applying all of them in order to an empty table gives the kernel's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Everything is about to be told again, up to [`Change::SnapshotEnds`]. Until then what was
    /// known remains the best that is known.
    SnapshotBegins,
    /// Everything has been told. What was not told since [`Change::SnapshotBegins`] no longer is.
    SnapshotEnds,
    /// The interface itself.
    Link(Link),
    /// An address of the interface.
    Address(Address),
    /// A route out of the interface.
    Route(Route),
    /// A neighbour's link address.
    Neighbour(Neighbour),
}

/// The interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Whether it exists; if not, the rest means nothing.
    pub present: bool,
    /// Octets of the largest IP packet; zero if the kernel did not say.
    pub mtu: u32,
    /// Its Ethernet address; `None` if it has none of six octets.
    pub address: Option<[u8; 6]>,
    /// Whether the operator has set it up.
    pub is_up: bool,
    /// Whether its other end is there: frames can pass.
    pub has_carrier: bool,
}

/// An address of the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// Whether the interface has it, or no longer.
    pub present: bool,
    /// The address.
    pub address: IpAddr,
    /// Bits of it that name its network.
    pub prefix: u8,
    /// Whether it may be used: duplicate address detection (RFC 4862 §5.4) is over, and found none.
    pub is_usable: bool,
}

/// A unicast route of the main table that leaves through the interface. A route over several
/// interfaces or gateways is told once for each that is on this interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Whether there is such a route, or no longer.
    pub present: bool,
    /// Whether it takes the place of those with the same destination, prefix and metric.
    pub replaces: bool,
    /// The network that it leads to.
    pub destination: IpAddr,
    /// Bits of `destination` that count.
    pub prefix: u8,
    /// The next hop, of either version (RFC 5549); `None` if the destination itself is a neighbour.
    pub gateway: Option<IpAddr>,
    /// Among routes to the same network, the one with the lowest is used.
    pub metric: u32,
    /// The address to send from, if the route names one.
    pub source: Option<IpAddr>,
}

/// A neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Its IP address.
    pub address: IpAddr,
    /// What is known about its link address.
    pub state: NeighbourState,
}

/// What the kernel knows about a neighbour's link address (RFC 4861 §7.3.2, used for ARP as well).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NeighbourState {
    /// The kernel has forgotten it.
    Absent,
    /// It is being asked for.
    Incomplete,
    /// It does not answer.
    Failed,
    /// Known and confirmed, being confirmed, or set by the operator.
    Reachable([u8; 6]),
    /// Known, but not confirmed for a while: whoever uses it has the kernel confirm it, with
    /// [`Netlink::resolve`](super::Netlink::resolve).
    Stale([u8; 6]),
}
