//! Link addresses without a kernel of our own: on a TAP device we answer for our addresses, and ask for
//! those of others. ARP (RFC 826), neighbour discovery (RFC 4861 §7.2).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use afpa_platform::netlink::{Neighbour, NeighbourState};
use afpa_tcp::Time;
use afpa_wire::{MacAddress, arp, checksum, ethernet, ip};

/// Neighbours that are known or asked for. Beyond them none is learned or asked for, until an old one is
/// forgotten.
const ENTRIES: usize = 1_024;
/// Addresses of ours.
const ADDRESSES: usize = 256;
/// Requests without an answer after which a neighbour is taken to be absent (RFC 4861 §10,
/// MAX_MULTICAST_SOLICIT).
const REQUESTS: u8 = 3;
/// Between two requests (RFC 4861 §10, RETRANS_TIMER; RFC 1122 §2.3.2.1 asks for no less).
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer counts (RFC 4861 §10, REACHABLE_TIME); then who uses it asks again.
const REACHABLE: Duration = Duration::from_secs(30);
/// How long an address that nobody asks for again is kept.
const KEPT: Duration = Duration::from_secs(600);

/// A neighbour solicitation or advertisement without options; and with one link address.
const DISCOVERY: usize = 24;
const DISCOVERY_WITH_ADDRESS: usize = DISCOVERY + 8;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Options: the link address of the sender, of the target.
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
/// Flags of an advertisement.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// No router has forwarded it (RFC 4861 §7.1.1).
const HOP_LIMIT: u8 = 255;
/// Where an IPv6 header has its hop limit, an ICMPv6 message its checksum.
const HOP_LIMIT_AT: usize = 7;
const CHECKSUM_AT: usize = 2;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Octets of the longest frame that we make here.
const NOTICE: usize = ethernet::TAGGED_HEADER_LEN + ip::V6_HEADER_LEN + DISCOVERY_WITH_ADDRESS;

/// A whole frame that asks or answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notice {
    octets: [u8; NOTICE],
    len: u8,
}

impl Notice {
    /// The frame.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    fn append(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        let at = usize::from(self.len);
        self.len += write(&mut self.octets[at..]) as u8;
    }
}

/// What a frame came to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Resolved {
    /// To be sent.
    pub reply: Option<Notice>,
    /// What it says of its sender, for [`Neighbours`](crate::neighbours::Neighbours).
    pub learned: Option<Neighbour>,
}

/// What time brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// A request to be sent.
    Request(Notice),
    /// A neighbour that does not answer, has to be asked again when it is used, or is forgotten.
    Told(Neighbour),
}

/// Answers for our addresses, and asks for those of others. Does no input or output and reads no clock.
///
/// Bounded: 256 addresses of ours, 1,024 neighbours.
pub struct Resolution {
    own: MacAddress,
    vlan: Option<u16>,
    addresses: Vec<IpAddr>,
    entries: HashMap<IpAddr, Entry>,
    /// When the next of them is due; early rather than late.
    due: Time,
}

#[derive(Clone, Copy)]
struct Entry {
    state: State,
    /// When its state ends.
    until: Time,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many requests have been sent.
    Asked(u8),
    Reachable([u8; 6]),
    Stale,
}

impl Resolution {
    /// Answers with the link address `own`, in frames with the tag `vlan` if they carry one, for up to 256
    /// `addresses`; the rest is ignored.
    pub fn new(own: MacAddress, vlan: Option<u16>, addresses: &[IpAddr]) -> Resolution {
        let addresses = addresses.iter().copied().take(ADDRESSES).collect();
        Resolution { own, vlan, addresses, entries: HashMap::new(), due: Time::NEVER }
    }

    /// Looks at a frame that has arrived. `None` if it is neither ARP nor neighbour discovery. What asks for
    /// an address of ours is answered; who asks it, or answers what we asked, is learned.
    pub fn arrived(&mut self, now: Time, frame: &[u8]) -> Option<Resolved> {
        let frame = ethernet::Frame::parse(frame).ok()?;
        match frame.ether_type {
            ethernet::ARP => Some(self.arp(now, frame.payload)),
            ethernet::IPV6 => self.discovery(now, frame.payload),
            _ => None,
        }
    }

    /// Asks for a neighbour's link address, at the next [`Resolution::due`], unless that is under way.
    pub fn resolve(&mut self, now: Time, next_hop: IpAddr) {
        let may_ask = match self.entries.get(&next_hop) {
            Some(entry) => entry.state == State::Stale,
            None => self.entries.len() < ENTRIES,
        };
        if may_ask {
            self.enter(next_hop, State::Asked(0), now);
        }
    }

    /// What is to be done now. Call it until it has no more.
    pub fn due(&mut self, now: Time) -> Option<Due> {
        while self.due <= now {
            let first = self.entries.iter().min_by_key(|(_, entry)| entry.until);
            let Some((address, entry)) = first.map(|(address, entry)| (*address, *entry)) else {
                self.due = Time::NEVER;
                return None;
            };
            self.due = entry.until;
            if entry.until > now {
                return None;
            }
            let due = match entry.state {
                State::Asked(count) if count < REQUESTS => {
                    self.enter(address, State::Asked(count + 1), now.after(INTERVAL));
                    self.request(address).map(Due::Request)
                }
                State::Reachable(link) => {
                    self.enter(address, State::Stale, now.after(KEPT));
                    Some(Due::Told(Neighbour { address, state: NeighbourState::Stale(link) }))
                }
                State::Asked(_) => Some(self.forget(address, NeighbourState::Failed)),
                State::Stale => Some(self.forget(address, NeighbourState::Absent)),
            };
            if due.is_some() {
                return due;
            }
        }
        None
    }

    /// When [`Resolution::due`] may have something; [`Time::NEVER`] if nothing is under way.
    pub fn next_deadline(&self) -> Time {
        self.due
    }

    fn arp(&mut self, now: Time, payload: &[u8]) -> Resolved {
        let Ok(packet) = arp::Packet::parse(payload) else { return Resolved::default() };
        if !self.is_ours(packet.target_ip.into()) || packet.sender_mac.is_group() {
            return Resolved::default();
        }
        match packet.operation {
            arp::Operation::Request => {
                let reply = arp::Packet {
                    operation: arp::Operation::Reply,
                    sender_mac: self.own,
                    sender_ip: packet.target_ip,
                    target_mac: packet.sender_mac,
                    target_ip: packet.sender_ip,
                };
                // A probe has no sender's address (RFC 5227 §2.1.1).
                let is_probe = packet.sender_ip.is_unspecified();
                let (ip, mac) = (packet.sender_ip.into(), packet.sender_mac);
                let learned = (!is_probe).then(|| self.learn(now, ip, mac)).flatten();
                Resolved { reply: Some(self.arp_notice(packet.sender_mac, &reply)), learned }
            }
            arp::Operation::Reply => {
                let learned = self.answered(now, packet.sender_ip.into(), packet.sender_mac);
                Resolved { reply: None, learned }
            }
        }
    }

    fn discovery(&mut self, now: Time, payload: &[u8]) -> Option<Resolved> {
        let packet = ip::Packet::parse(payload).ok().filter(|packet| packet.protocol() == ip::ICMPV6)?;
        let message = packet.payload();
        let kind = *message.first().filter(|kind| matches!(**kind, SOLICITATION | ADVERTISEMENT))?;
        let told = Discovery::parse(&packet, message);
        Some(match told {
            Some(told) if kind == SOLICITATION => self.solicited(now, &told),
            Some(told) => {
                let link = told.target_link;
                Resolved { reply: None, learned: link.and_then(|link| self.answered(now, told.target.into(), link)) }
            }
            None => Resolved::default(),
        })
    }

    fn solicited(&mut self, now: Time, told: &Discovery) -> Resolved {
        // Who asks without an address of its own checks whether anybody has it (RFC 4861 §7.2.4).
        let is_probe = told.source.is_unspecified();
        let link = told.source_link.or(is_probe.then_some(MacAddress::default()));
        let Some(link) = link.filter(|link| self.is_ours(told.target.into()) && !link.is_group()) else {
            return Resolved::default();
        };
        if is_probe {
            let reply = self.advertisement(told.target, ALL_NODES, multicast(ALL_NODES), OVERRIDE);
            return Resolved { reply: Some(reply), learned: None };
        }
        let reply = self.advertisement(told.target, told.source, link, SOLICITED | OVERRIDE);
        Resolved { reply: Some(reply), learned: self.learn(now, told.source.into(), link) }
    }

    /// Somebody who wants to send to us says where it is.
    fn learn(&mut self, now: Time, address: IpAddr, link: MacAddress) -> Option<Neighbour> {
        let has_room = self.entries.len() < ENTRIES || self.entries.contains_key(&address);
        let is_one_host = !address.is_multicast() && !address.is_unspecified() && !link.is_group();
        if !has_room || !is_one_host || self.is_ours(address) {
            return None;
        }
        self.enter(address, State::Reachable(link.0), now.after(REACHABLE));
        Some(Neighbour { address, state: NeighbourState::Reachable(link.0) })
    }

    /// Somebody answers: believed only if we asked, or know it.
    fn answered(&mut self, now: Time, address: IpAddr, link: MacAddress) -> Option<Neighbour> {
        self.entries.contains_key(&address).then(|| self.learn(now, address, link)).flatten()
    }

    fn enter(&mut self, address: IpAddr, state: State, until: Time) {
        self.entries.insert(address, Entry { state, until });
        self.due = self.due.min(until);
    }

    fn forget(&mut self, address: IpAddr, state: NeighbourState) -> Due {
        self.entries.remove(&address);
        Due::Told(Neighbour { address, state })
    }

    /// Asks everybody, or those who may be meant. `None` if we have no address to ask from.
    fn request(&self, target: IpAddr) -> Option<Notice> {
        match target {
            IpAddr::V4(target_ip) => {
                let ours = self.addresses.iter().find_map(|a| if let IpAddr::V4(a) = a { Some(*a) } else { None })?;
                let (sender_mac, sender_ip) = (self.own, ours);
                let (operation, target_mac) = (arp::Operation::Request, MacAddress::default());
                let packet = arp::Packet { operation, sender_mac, sender_ip, target_mac, target_ip };
                Some(self.arp_notice(MacAddress::BROADCAST, &packet))
            }
            IpAddr::V6(target) => {
                let ours = self.addresses.iter().find_map(|a| if let IpAddr::V6(a) = a { Some(*a) } else { None })?;
                let group = solicited_node(target);
                let message = Message { kind: SOLICITATION, flags: 0, target, option: SOURCE_LINK };
                Some(self.discovery_notice(ours, group, multicast(group), message))
            }
        }
    }

    fn advertisement(&self, target: Ipv6Addr, to: Ipv6Addr, link: MacAddress, flags: u8) -> Notice {
        let message = Message { kind: ADVERTISEMENT, flags, target, option: TARGET_LINK };
        self.discovery_notice(target, to, link, message)
    }

    fn arp_notice(&self, to: MacAddress, packet: &arp::Packet) -> Notice {
        let mut notice = self.notice(to, ethernet::ARP);
        notice.append(|out| packet.write(out));
        notice
    }

    fn discovery_notice(&self, from: Ipv6Addr, to: Ipv6Addr, link: MacAddress, message: Message) -> Notice {
        let mut octets = [0; DISCOVERY_WITH_ADDRESS];
        octets[0] = message.kind;
        octets[4] = message.flags;
        octets[8..24].copy_from_slice(&message.target.octets());
        // An option's length counts eight octets.
        octets[24..26].copy_from_slice(&[message.option, 1]);
        octets[26..32].copy_from_slice(&self.own.0);
        let (source, destination) = (IpAddr::V6(from), IpAddr::V6(to));
        let pseudo = checksum::pseudo_header(source, destination, ip::ICMPV6, DISCOVERY_WITH_ADDRESS as u32);
        let sum = !checksum::add(pseudo, checksum::sum(&octets));
        octets[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
        let (protocol, ecn, payload_len) = (ip::ICMPV6, ip::Ecn::from_bits(0), octets.len());
        let header = ip::Header { source, destination, protocol, ecn, payload_len, identification: 0 };
        let mut notice = self.notice(link, ethernet::IPV6);
        notice.append(|out| {
            let length = header.write(out);
            out[HOP_LIMIT_AT] = HOP_LIMIT;
            length
        });
        notice.append(|out| {
            out[..octets.len()].copy_from_slice(&octets);
            octets.len()
        });
        notice
    }

    fn notice(&self, destination: MacAddress, ether_type: u16) -> Notice {
        let header = ethernet::Header { destination, source: self.own, vlan: self.vlan, ether_type };
        let mut notice = Notice { octets: [0; NOTICE], len: 0 };
        notice.append(|out| header.write(out));
        notice
    }

    fn is_ours(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}

/// A neighbour solicitation or advertisement to be written.
struct Message {
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    /// Which option names our link address.
    option: u8,
}

/// A valid neighbour solicitation or advertisement.
struct Discovery {
    source: Ipv6Addr,
    target: Ipv6Addr,
    source_link: Option<MacAddress>,
    target_link: Option<MacAddress>,
}

impl Discovery {
    /// RFC 4861 §7.1.1 and §7.1.2 say what is valid. Who came through a router is not on the link.
    fn parse(packet: &ip::Packet<'_>, message: &[u8]) -> Option<Discovery> {
        let IpAddr::V6(source) = packet.source() else { return None };
        let target = Ipv6Addr::from(*message.get(8..)?.first_chunk::<16>()?);
        let is_whole = checksum::add(packet.pseudo_header(), checksum::sum(message)) == 0xffff;
        let is_from_link = packet.hop_limit() == HOP_LIMIT && !packet.is_fragment();
        if !is_from_link || !is_whole || message[1] != 0 || target.is_multicast() {
            return None;
        }
        let mut told = Discovery { source, target, source_link: None, target_link: None };
        let mut rest = &message[DISCOVERY..];
        while let Some(&[kind, length]) = rest.first_chunk() {
            let option = rest.get(..usize::from(length) * 8).filter(|option| !option.is_empty())?;
            let link = <[u8; 6]>::try_from(&option[2..]).ok().map(MacAddress);
            match kind {
                SOURCE_LINK => told.source_link = link,
                TARGET_LINK => told.target_link = link,
                _ => {}
            }
            rest = &rest[option.len()..];
        }
        Some(told)
    }
}

/// The group that a host with this address listens to (RFC 4291 §2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | address.to_bits() & 0x00ff_ffff)
}

/// The link address of a group (RFC 2464 §7).
fn multicast(group: Ipv6Addr) -> MacAddress {
    let [.., a, b, c, d] = group.octets();
    MacAddress([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEAR: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const FAR: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn near() -> Resolution {
        Resolution::new(NEAR, None, &[ip("10.0.0.1"), ip("fd00::1")])
    }

    fn far() -> Resolution {
        Resolution::new(FAR, None, &[ip("10.0.0.2"), ip("fd00::2")])
    }

    fn second(n: u64) -> Time {
        Time(n * 1_000_000_000)
    }

    fn reachable(address: &str, link: MacAddress) -> Option<Neighbour> {
        Some(Neighbour { address: ip(address), state: NeighbourState::Reachable(link.0) })
    }

    fn request(resolution: &mut Resolution, now: Time, address: &str) -> Notice {
        resolution.resolve(now, ip(address));
        let Some(Due::Request(notice)) = resolution.due(now) else { panic!("no request") };
        notice
    }

    #[test]
    fn two_ends_find_each_other() {
        for (ours, theirs) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let (mut near, mut far) = (near(), far());
            let asked = request(&mut near, second(1), theirs);
            assert_eq!(near.due(second(1)), None);
            let answer = far.arrived(second(1), asked.as_bytes()).unwrap();
            assert_eq!(answer.learned, reachable(ours, NEAR), "who asks is about to send");
            let reply = answer.reply.unwrap();
            assert_eq!(&reply.as_bytes()[..12], [NEAR.0, FAR.0].concat());
            let learned = near.arrived(second(1), reply.as_bytes()).unwrap();
            assert_eq!(learned, Resolved { reply: None, learned: reachable(theirs, FAR) });
            assert_eq!(near.due(second(20)), None);
            let stale = Neighbour { address: ip(theirs), state: NeighbourState::Stale(FAR.0) };
            assert_eq!(near.due(second(31)), Some(Due::Told(stale)));
            let absent = Neighbour { address: ip(theirs), state: NeighbourState::Absent };
            assert_eq!(near.due(second(631)), Some(Due::Told(absent)));
            assert_eq!((near.due(second(631)), near.next_deadline()), (None, Time::NEVER));
        }
    }

    #[test]
    fn nobody_is_asked_three_times_a_second_apart() {
        let mut near = near();
        let first = request(&mut near, second(10), "10.0.0.9");
        assert_eq!(&first.as_bytes()[..6], MacAddress::BROADCAST.0);
        near.resolve(second(10), ip("10.0.0.9"));
        assert_eq!(near.due(second(10)), None);
        for now in [11, 12] {
            assert_eq!(near.next_deadline(), second(now));
            assert_eq!(near.due(second(now)), Some(Due::Request(first)));
            assert_eq!(near.due(second(now)), None);
        }
        let failed = Neighbour { address: ip("10.0.0.9"), state: NeighbourState::Failed };
        assert_eq!(near.due(second(13)), Some(Due::Told(failed)));
        assert_eq!(near.due(second(13)), None);
    }

    #[test]
    fn a_solicitation_goes_to_the_group_of_its_target() {
        let notice = request(&mut near(), second(1), "fd00::1:2345:6789");
        assert_eq!(&notice.as_bytes()[..6], [0x33, 0x33, 0xff, 0x45, 0x67, 0x89]);
        assert_eq!(notice.as_bytes()[14 + HOP_LIMIT_AT], 255);
        let packet = ip::Packet::parse(&notice.as_bytes()[14..]).unwrap();
        assert_eq!(packet.destination(), ip("ff02::1:ff45:6789"));
    }

    #[test]
    fn a_tag_is_kept() {
        let mut tagged = Resolution::new(NEAR, Some(7), &[ip("10.0.0.1"), ip("fd00::1")]);
        for theirs in ["10.0.0.2", "fd00::2"] {
            let notice = request(&mut tagged, second(1), theirs);
            assert_eq!(ethernet::Frame::parse(notice.as_bytes()).unwrap().vlan, Some(7));
            assert!(far().arrived(second(1), notice.as_bytes()).unwrap().reply.is_some());
        }
    }

    #[test]
    fn what_is_not_asked_of_us_is_not_answered() {
        let mut near = near();
        for theirs in ["10.0.0.7", "fd00::7"] {
            let asked = request(&mut far(), second(1), theirs);
            assert_eq!(near.arrived(second(1), asked.as_bytes()), Some(Resolved::default()), "{theirs}");
        }
        // An answer that nobody asked for.
        for ours in ["10.0.0.2", "fd00::2"] {
            let asked = request(&mut Resolution::new(NEAR, None, &[ip("10.0.0.1"), ip("fd00::1")]), second(1), ours);
            let reply = far().arrived(second(1), asked.as_bytes()).unwrap().reply.unwrap();
            assert_eq!(near.arrived(second(1), reply.as_bytes()), Some(Resolved::default()), "{ours}");
        }
        assert_eq!(near.arrived(second(1), &[0; 60]), None);
    }

    #[test]
    fn a_solicitation_from_beyond_a_router_or_broken_is_ignored() {
        let asked = request(&mut far(), second(1), "fd00::1");
        assert!(near().arrived(second(1), asked.as_bytes()).unwrap().reply.is_some());
        for at in [14 + HOP_LIMIT_AT, 54 + CHECKSUM_AT, 54 + 1, asked.as_bytes().len() - 1] {
            let mut forged = asked.as_bytes().to_vec();
            forged[at] ^= 1;
            assert_eq!(near().arrived(second(1), &forged), Some(Resolved::default()), "octet {at}");
        }
    }

    #[test]
    fn probes_are_answered_and_teach_nothing() {
        let probe = arp::Packet {
            operation: arp::Operation::Request,
            sender_mac: FAR,
            sender_ip: [0; 4].into(),
            target_mac: MacAddress::default(),
            target_ip: [10, 0, 0, 1].into(),
        };
        let notice = far().arp_notice(MacAddress::BROADCAST, &probe);
        let answer = near().arrived(second(1), notice.as_bytes()).unwrap();
        assert!(answer.reply.is_some() && answer.learned.is_none());
        let mut octets = request(&mut far(), second(1), "fd00::1").as_bytes().to_vec();
        // Duplicate address detection: no source, and no option that names it.
        octets.truncate(54 + DISCOVERY);
        octets[18..20].copy_from_slice(&[0, DISCOVERY as u8]);
        octets[22..38].fill(0);
        octets[56..58].fill(0);
        let packet = ip::Packet::parse(&octets[14..]).unwrap();
        let sum = !checksum::add(packet.pseudo_header(), checksum::sum(packet.payload()));
        octets[56..58].copy_from_slice(&sum.to_be_bytes());
        let answer = near().arrived(second(1), &octets).unwrap();
        let reply = answer.reply.unwrap();
        assert_eq!(&reply.as_bytes()[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(answer.learned, None);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut near = near();
        for number in 0..2 * ENTRIES as u32 {
            near.resolve(second(1), IpAddr::from((0x0a00_0100 + number).to_be_bytes()));
        }
        let requests = std::iter::from_fn(|| near.due(second(1))).count();
        assert_eq!(requests, ENTRIES);
    }

    proptest! {
        #[test]
        fn no_frame_does_harm(kind in 0usize..2, cut in 0usize..100, at in 0usize..86, octet: u8, more: Vec<u8>) {
            let address = ["10.0.0.1", "fd00::1"][kind];
            let mut octets = request(&mut far(), second(1), address).as_bytes().to_vec();
            if let Some(place) = octets.get_mut(at) {
                *place = octet;
            }
            octets.truncate(cut);
            octets.extend(more);
            near().arrived(second(1), &octets);
        }
    }
}
