//! Messages of rtnetlink: requests written, answers and notifications read.
//!
//! All integers are in the machine's order. A message is a header (length, type, flags, sequence,
//! port), a fixed part that depends on its type, and attributes (length, type, value), each part padded
//! to four octets. Whatever does not fit its lengths is skipped: the kernel is trusted to mean well, not
//! to be known in every version.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::change::{Address, Change, Link, Neighbour, NeighbourState, Route};

/// Octets of a message's header.
pub(super) const HEADER: usize = 16;
/// Octets of the fixed parts: ifinfomsg, ifaddrmsg, rtmsg, ndmsg, rtnexthop.
const LINK_PART: usize = 16;
const ADDRESS_PART: usize = 8;
const ROUTE_PART: usize = 12;
const NEIGHBOUR_PART: usize = 12;
const NEXT_HOP_PART: usize = 8;

const FAMILY_4: u8 = libc::AF_INET as u8;
const FAMILY_6: u8 = libc::AF_INET6 as u8;

/// States in which the kernel would send to the link address.
const REACHABLE: u16 = libc::NUD_REACHABLE | libc::NUD_DELAY | libc::NUD_PROBE | libc::NUD_PERMANENT | libc::NUD_NOARP;
/// A next hop of a route that cannot be used: RTNH_F_DEAD, RTNH_F_LINKDOWN.
const DEAD: u32 = 1 | 16;
/// What the kernel has learned for one destination, such as its path MTU: no route (RTM_F_CLONED).
const LEARNED: u32 = 0x200;

/// One message.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Cuts the first message off. `None` if there is none, or what is there is none.
    pub(super) fn cut(octets: &mut &'a [u8]) -> Option<Message<'a>> {
        let length = u32_at(octets, 0)? as usize;
        let message = octets.get(..length)?;
        let body = message.get(HEADER..)?;
        let (kind, flags, sequence) = (u16_at(message, 4)?, u16_at(message, 6)?, u32_at(message, 8)?);
        *octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, flags, sequence, body })
    }

    /// The errno of an NLMSG_ERROR; zero is an acknowledgment.
    pub(super) fn error(&self) -> i32 {
        u32_at(self.body, 0).map_or(0, |code| (code as i32).saturating_neg())
    }

    /// Tells what the message says about `interface`.
    pub(super) fn tell(&self, interface: u32, sink: &mut dyn FnMut(Change)) {
        let told = match self.kind {
            libc::RTM_NEWLINK | libc::RTM_DELLINK => self.link(interface).map(Change::Link),
            libc::RTM_NEWADDR | libc::RTM_DELADDR => self.address(interface).map(Change::Address),
            libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH => self.neighbour(interface).map(Change::Neighbour),
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
                self.routes(interface, sink);
                None
            }
            _ => None,
        };
        told.into_iter().for_each(sink);
    }

    fn link(&self, interface: u32) -> Option<Link> {
        if u32_at(self.body, 4)? != interface {
            return None;
        }
        let flags = u32_at(self.body, 8)? as libc::c_int;
        let mut link = Link {
            present: self.kind == libc::RTM_NEWLINK,
            mtu: 0,
            address: None,
            is_up: flags & libc::IFF_UP != 0,
            has_carrier: flags & libc::IFF_LOWER_UP != 0,
        };
        for (kind, value) in attributes(self.body, LINK_PART) {
            match kind {
                libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
                libc::IFLA_ADDRESS => link.address = value.try_into().ok(),
                _ => {}
            }
        }
        // A port of a bridge leaves the bridge with a message of the family AF_BRIDGE; the interface stays.
        (self.body.first() == Some(&(libc::AF_UNSPEC as u8))).then_some(link)
    }

    fn address(&self, interface: u32) -> Option<Address> {
        let [family, prefix, flags, _] = *self.body.first_chunk()?;
        if u32_at(self.body, 4)? != interface {
            return None;
        }
        let (mut local, mut address, mut flags) = (None, None, u32::from(flags));
        for (kind, value) in attributes(self.body, ADDRESS_PART) {
            match kind {
                libc::IFA_LOCAL => local = ip(family, value),
                libc::IFA_ADDRESS => address = ip(family, value),
                libc::IFA_FLAGS => flags = u32_at(value, 0)?,
                _ => {}
            }
        }
        let unusable = libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED;
        let is_usable = flags & unusable == 0 || flags & libc::IFA_F_OPTIMISTIC != 0;
        // On a point-to-point link IFA_ADDRESS is the peer's.
        let address = local.or(address)?;
        Some(Address { present: self.kind == libc::RTM_NEWADDR, address, prefix: checked(address, prefix)?, is_usable })
    }

    fn neighbour(&self, interface: u32) -> Option<Neighbour> {
        let family = *self.body.first()?;
        if u32_at(self.body, 4)? != interface {
            return None;
        }
        let (mut address, mut link) = (None, None);
        for (kind, value) in attributes(self.body, NEIGHBOUR_PART) {
            match kind {
                libc::NDA_DST => address = ip(family, value),
                libc::NDA_LLADDR => link = <[u8; 6]>::try_from(value).ok(),
                _ => {}
            }
        }
        let state = match (u16_at(self.body, 8)?, link) {
            _ if self.kind == libc::RTM_DELNEIGH => NeighbourState::Absent,
            (state, Some(link)) if state & REACHABLE != 0 => NeighbourState::Reachable(link),
            (state, Some(link)) if state & libc::NUD_STALE != 0 => NeighbourState::Stale(link),
            (state, _) if state & libc::NUD_INCOMPLETE != 0 => NeighbourState::Incomplete,
            (state, _) if state & libc::NUD_FAILED != 0 => NeighbourState::Failed,
            _ => NeighbourState::Absent,
        };
        Some(Neighbour { address: address?, state })
    }

    /// Tells the route's next hops on `interface`.
    fn routes(&self, interface: u32, sink: &mut dyn FnMut(Change)) {
        let Some((route, hops)) = self.route() else { return };
        let mut replaces = route.replaces;
        for (_, gateway) in hops.iter(route.destination).filter(|(index, _)| *index == interface) {
            sink(Change::Route(Route { gateway, replaces, ..route }));
            replaces = false;
        }
    }

    fn route(&self) -> Option<(Route, Hops<'a>)> {
        let [family, prefix, _, service, table, _, _, kind] = *self.body.first_chunk()?;
        let mut hops = Hops { flags: u32_at(self.body, 8)?, ..Hops::default() };
        let (mut destination, mut source, mut metric, mut table) = (None, None, 0, u32::from(table));
        for (attribute, value) in attributes(self.body, ROUTE_PART) {
            match attribute {
                libc::RTA_DST => destination = Some(ip(family, value)?),
                libc::RTA_PREFSRC => source = ip(family, value),
                libc::RTA_PRIORITY => metric = u32_at(value, 0)?,
                libc::RTA_TABLE => table = u32_at(value, 0)?,
                libc::RTA_OIF => hops.interface = u32_at(value, 0)?,
                libc::RTA_GATEWAY => hops.gateway = ip(family, value),
                libc::RTA_VIA => hops.gateway = via(value),
                libc::RTA_MULTIPATH => hops.several = value,
                _ => {}
            }
        }
        let is_main = table == u32::from(libc::RT_TABLE_MAIN) && kind == libc::RTN_UNICAST && service == 0;
        if !is_main || hops.flags & LEARNED != 0 {
            return None;
        }
        // The default route has no destination.
        let destination = match destination {
            Some(destination) => destination,
            None if family == FAMILY_4 => Ipv4Addr::UNSPECIFIED.into(),
            None if family == FAMILY_6 => Ipv6Addr::UNSPECIFIED.into(),
            None => return None,
        };
        let prefix = checked(destination, prefix)?;
        let present = self.kind == libc::RTM_NEWROUTE;
        let replaces = present && self.flags & libc::NLM_F_REPLACE as u16 != 0;
        Some((Route { present, replaces, destination, prefix, gateway: None, metric, source }, hops))
    }
}

/// A route's next hops: one, or several.
#[derive(Default)]
struct Hops<'a> {
    interface: u32,
    gateway: Option<IpAddr>,
    flags: u32,
    several: &'a [u8],
}

impl<'a> Hops<'a> {
    /// Each usable one's interface and gateway.
    fn iter(&self, destination: IpAddr) -> impl Iterator<Item = (u32, Option<IpAddr>)> + use<'a> {
        let one = (self.several.is_empty() && self.flags & DEAD == 0).then_some((self.interface, self.gateway));
        let family = if destination.is_ipv4() { FAMILY_4 } else { FAMILY_6 };
        let mut rest = self.several;
        let several = std::iter::from_fn(move || {
            let length = usize::from(u16_at(rest, 0)?);
            let hop = rest.get(..length).filter(|hop| hop.len() >= NEXT_HOP_PART)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some(hop)
        });
        let several = several.filter(|hop| u32::from(hop[2]) & DEAD == 0).filter_map(move |hop| {
            let gateway = attributes(hop, NEXT_HOP_PART).find_map(|(kind, value)| match kind {
                libc::RTA_GATEWAY => ip(family, value),
                libc::RTA_VIA => via(value),
                _ => None,
            });
            Some((u32_at(hop, 4)?, gateway))
        });
        one.into_iter().chain(several)
    }
}

/// A request for all that there is of the kind (RTM_GET…). The fixed part is of the kind's length, all
/// zeros: of any family, of any interface.
pub(super) fn dump(kind: u16, sequence: u32) -> Vec<u8> {
    let part = match kind {
        libc::RTM_GETLINK => LINK_PART,
        libc::RTM_GETADDR => ADDRESS_PART,
        _ => ROUTE_PART,
    };
    let mut message = header(kind, libc::NLM_F_REQUEST | libc::NLM_F_DUMP, sequence);
    message.resize(HEADER + part, 0);
    finish(message)
}

/// A request that a neighbour be used: the kernel asks for its link address, or confirms it.
pub(super) fn use_neighbour(interface: u32, address: IpAddr, sequence: u32) -> Vec<u8> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_CREATE;
    neighbour(flags, interface, address, libc::NUD_NONE, libc::NTF_USE, sequence)
}

/// A statement that a neighbour, whose link address is known, was heard.
pub(super) fn confirm_neighbour(interface: u32, address: IpAddr, sequence: u32) -> Vec<u8> {
    neighbour(libc::NLM_F_REQUEST, interface, address, libc::NUD_REACHABLE, 0, sequence)
}

fn neighbour(flags: i32, interface: u32, address: IpAddr, state: u16, entry: u8, sequence: u32) -> Vec<u8> {
    let mut message = header(libc::RTM_NEWNEIGH, flags, sequence);
    message.extend([if address.is_ipv4() { FAMILY_4 } else { FAMILY_6 }, 0, 0, 0]);
    message.extend(interface.to_ne_bytes());
    message.extend(state.to_ne_bytes());
    message.extend([entry, 0]);
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    message.extend((4 + octets.len() as u16).to_ne_bytes());
    message.extend(libc::NDA_DST.to_ne_bytes());
    message.extend(octets);
    finish(message)
}

pub(super) fn header(kind: u16, flags: i32, sequence: u32) -> Vec<u8> {
    let mut message = vec![0; 4];
    message.extend(kind.to_ne_bytes());
    message.extend((flags as u16).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message
}

pub(super) fn finish(mut message: Vec<u8>) -> Vec<u8> {
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

/// An attribute as it is sent.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut octets = (4 + value.len() as u16).to_ne_bytes().to_vec();
    octets.extend(kind.to_ne_bytes());
    octets.extend(value);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

/// The attributes behind a fixed part: type and value.
pub(super) fn attributes(body: &[u8], part: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(part..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        // The two highest bits say how the value is nested or ordered.
        let kind = u16_at(rest, 2)? & 0x3fff;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        FAMILY_4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        FAMILY_6 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

/// An RTA_VIA: a family, then an address of it.
fn via(value: &[u8]) -> Option<IpAddr> {
    ip(u16_at(value, 0)?.try_into().ok()?, value.get(2..)?)
}

fn checked(address: IpAddr, prefix: u8) -> Option<u8> {
    (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(prefix)
}

pub(super) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|octets| u16::from_ne_bytes(*octets))
}

pub(super) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, flags: i32, parts: &[&[u8]]) -> Vec<u8> {
        let mut message = header(kind, flags, 7);
        parts.iter().for_each(|part| message.extend(*part));
        finish(message)
    }

    fn told(mut octets: &[u8], interface: u32) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(message) = Message::cut(&mut octets) {
            message.tell(interface, &mut |change| changes.push(change));
        }
        changes
    }

    fn route_part(prefix: u8, table: u8, kind: u8) -> [u8; ROUTE_PART] {
        [FAMILY_4, prefix, 0, 0, table, 0, 0, kind, 0, 0, 0, 0]
    }

    #[test]
    fn a_route_over_several_gateways_is_told_once_for_each_on_the_interface() {
        let hop = |interface: u32, flags: u8, gateway: &[u8]| {
            let gateway = attribute(libc::RTA_GATEWAY, gateway);
            let mut hop = (NEXT_HOP_PART as u16 + gateway.len() as u16).to_ne_bytes().to_vec();
            hop.extend([flags, 0]);
            hop.extend(interface.to_ne_bytes());
            hop.extend(gateway);
            hop
        };
        let hops = [hop(3, 0, &[10, 0, 0, 1]), hop(4, 0, &[10, 1, 0, 1]), hop(3, 0, &[10, 0, 0, 2])].concat();
        let dead = [hops, hop(3, 1, &[10, 0, 0, 3])].concat();
        let part = route_part(24, libc::RT_TABLE_MAIN, libc::RTN_UNICAST);
        let octets = message(
            libc::RTM_NEWROUTE,
            libc::NLM_F_REPLACE,
            &[
                &part,
                &attribute(libc::RTA_DST, &[192, 0, 2, 0]),
                &attribute(libc::RTA_PRIORITY, &9u32.to_ne_bytes()),
                &attribute(libc::RTA_MULTIPATH, &dead),
            ],
        );
        let route = |gateway: [u8; 4], replaces| {
            Change::Route(Route {
                present: true,
                replaces,
                destination: [192, 0, 2, 0].into(),
                prefix: 24,
                gateway: Some(gateway.into()),
                metric: 9,
                source: None,
            })
        };
        assert_eq!(told(&octets, 3), [route([10, 0, 0, 1], true), route([10, 0, 0, 2], false)]);
        assert_eq!(told(&octets, 4), [route([10, 1, 0, 1], true)]);
        assert_eq!(told(&octets, 5), []);
    }

    #[test]
    fn routes_that_are_not_for_us_are_not_told() {
        let interface = attribute(libc::RTA_OIF, &3u32.to_ne_bytes());
        let told_of = |part: [u8; ROUTE_PART]| told(&message(libc::RTM_NEWROUTE, 0, &[&part, &interface]), 3).len();
        assert_eq!(told_of(route_part(0, libc::RT_TABLE_MAIN, libc::RTN_UNICAST)), 1, "the default route");
        assert_eq!(told_of(route_part(0, 255, libc::RTN_UNICAST)), 0, "the local table");
        assert_eq!(told_of(route_part(0, libc::RT_TABLE_MAIN, libc::RTN_BLACKHOLE)), 0, "a black hole");
        assert_eq!(told_of(route_part(33, libc::RT_TABLE_MAIN, libc::RTN_UNICAST)), 0, "33 bits of 32");
    }

    #[test]
    fn a_gateway_may_be_of_the_other_version() {
        let via = [&(libc::AF_INET6 as u16).to_ne_bytes()[..], &Ipv6Addr::LOCALHOST.octets()].concat();
        let octets = message(
            libc::RTM_DELROUTE,
            0,
            &[
                &route_part(0, libc::RT_TABLE_MAIN, libc::RTN_UNICAST),
                &attribute(libc::RTA_OIF, &3u32.to_ne_bytes()),
                &attribute(libc::RTA_VIA, &via),
            ],
        );
        let Ok([Change::Route(route)]) = <[Change; 1]>::try_from(told(&octets, 3)) else { panic!("no route") };
        assert!(!route.present && route.gateway == Some(Ipv6Addr::LOCALHOST.into()));
    }

    proptest! {
        #[test]
        fn whatever_octets_come_are_read_to_their_end(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            told(&octets, 0);
        }

        #[test]
        fn messages_that_lie_about_their_parts_do_no_harm(
            kind in 16u16..32, body in prop::collection::vec(0u8..12, 0..200),
        ) {
            for interface in [0, 1, 0x0101_0101] {
                told(&message(kind, 0, &[&body]), interface);
            }
        }
    }
}
