//! Who has which address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use afpa_platform::netlink::{Neighbour, NeighbourState};
use afpa_tcp::Time;
use afpa_wire::{MacAddress, arp, checksum, ethernet, ip};

use super::program::Program;
use crate::resolution::{Due, Notice, Resolution, Resolved};

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const OURS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1))];
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Reads `data` as a program: frames, good and bad ones, addresses to be resolved, and time.
///
/// # Panics
/// If a notice is not well-formed, or not ours to send; if what is learned cannot be a neighbour, or was neither asked nor
/// told to us; if what is told of a neighbour does not follow from what was told before; or if time passes a deadline
/// without effect, or never comes to the last.
pub fn resolution(data: &[u8]) {
    let mut program = Program::new(data);
    let vlan = (program.octet() & 1 != 0).then_some(7);
    let resolution = Resolution::new(OWN, vlan, &OURS);
    let mut questions = Questions { resolution, vlan, now: Time(1_000_000_000), known: HashMap::new() };
    while !program.is_over() {
        questions.step(&mut program);
    }
    let mut steps = 0;
    while questions.resolution.next_deadline() < Time::NEVER {
        questions.pass(questions.resolution.next_deadline().max(questions.now));
        steps += 1;
        assert!(steps < 10_000, "a neighbourhood that never comes to rest");
    }
    assert!(questions.known.is_empty(), "neighbours that are kept for ever");
}

struct Questions {
    resolution: Resolution,
    vlan: Option<u16>,
    now: Time,
    known: HashMap<IpAddr, Known>,
}

/// What must be known of a neighbour.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Known {
    /// So many requests have been sent, the last one then.
    Asked(u8, Time),
    Reachable([u8; 6]),
    Stale,
}

impl Questions {
    fn step(&mut self, program: &mut Program<'_>) {
        match program.octet() % 8 {
            0 => {
                let count = usize::from(program.octet());
                self.arrives(program.octets(count));
            }
            1..=3 => {
                let frame = self.frame(program);
                self.arrives(&frame);
            }
            4 | 5 => self.resolve(program.address()),
            6 => self.pass(Time(self.now.0 + program.duration())),
            _ => self.pass(self.resolution.next_deadline().min(Time(u64::MAX / 2)).max(self.now)),
        }
    }

    fn resolve(&mut self, address: IpAddr) {
        self.resolution.resolve(self.now, address);
        let known = self.known.entry(address).or_insert(Known::Asked(0, Time(0)));
        if *known == Known::Stale {
            *known = Known::Asked(0, Time(0));
        }
        assert!(self.resolution.next_deadline() <= self.now || *known != Known::Asked(0, Time(0)), "{address}");
    }

    fn arrives(&mut self, frame: &[u8]) {
        let Some(resolved) = self.resolution.arrived(self.now, frame) else { return };
        let Ok(parsed) = ethernet::Frame::parse(frame) else { panic!("an answer to no frame") };
        let Resolved { reply, learned } = resolved;
        let is_question = match parsed.ether_type {
            ethernet::ARP => {
                let packet = arp::Packet::parse(parsed.payload);
                packet.is_ok_and(|packet| packet.operation == arp::Operation::Request)
            }
            _ => ip::Packet::parse(parsed.payload).is_ok_and(|packet| packet.payload()[0] == SOLICITATION),
        };
        assert!(is_question || reply.is_none(), "an answer to no question");
        if let Some(reply) = reply {
            let (destination, protocol) = self.check_notice(&reply);
            assert!(protocol != Notified::Question, "a question for an answer");
            assert!(!destination.is_group() || parsed.ether_type == ethernet::IPV6, "an answer to everybody");
        }
        if let Some(Neighbour { address, state }) = learned {
            let NeighbourState::Reachable(link) = state else { panic!("learned that it is {state:?}") };
            assert!(is_question || self.known.contains_key(&address), "{address} was not asked");
            let is_host = !address.is_multicast() && !address.is_unspecified() && !MacAddress(link).is_group();
            assert!(is_host && !OURS.contains(&address), "{address} is no neighbour");
            self.known.insert(address, Known::Reachable(link));
        }
    }

    /// Does what is due.
    fn pass(&mut self, now: Time) {
        self.now = now;
        let mut steps = 0;
        while let Some(due) = self.resolution.due(now) {
            match due {
                Due::Request(notice) => self.requested(&notice),
                Due::Told(told) => self.told(&told),
            }
            steps += 1;
            assert!(steps < 10_000, "the same again and again");
        }
        assert!(self.resolution.next_deadline() > now, "a deadline that has passed after everything due was done");
    }

    fn requested(&mut self, notice: &Notice) {
        self.check_notice(notice);
        let Ok(frame) = ethernet::Frame::parse(notice.as_bytes()) else { return };
        let target = match frame.ether_type {
            ethernet::ARP => arp::Packet::parse(frame.payload).ok().map(|packet| IpAddr::V4(packet.target_ip)),
            _ => ip::Packet::parse(frame.payload).ok().and_then(|packet| target(packet.payload())).map(IpAddr::V6),
        };
        let Some(target) = target else { panic!("a request for nothing") };
        let Some(Known::Asked(count, before)) = self.known.get_mut(&target) else { panic!("{target} is known") };
        assert!(*count < 3 && self.now.0 - before.0 >= 1_000_000_000, "{target} is asked too often");
        (*count, *before) = (*count + 1, self.now);
    }

    fn told(&mut self, told: &Neighbour) {
        let known = self.known.remove(&told.address);
        match (known, told.state) {
            (Some(Known::Reachable(before)), NeighbourState::Stale(link)) if before == link => {
                self.known.insert(told.address, Known::Stale);
            }
            (Some(Known::Asked(3, _)), NeighbourState::Failed) | (Some(Known::Stale), NeighbourState::Absent) => {}
            (known, _) => panic!("{told:?} after {known:?}"),
        }
    }

    /// A frame that we send is well-formed. To whom it goes, and what it is.
    fn check_notice(&self, notice: &Notice) -> (MacAddress, Notified) {
        let Ok(frame) = ethernet::Frame::parse(notice.as_bytes()) else { panic!("no frame") };
        assert_eq!((frame.source, frame.vlan), (OWN, self.vlan));
        if frame.ether_type == ethernet::ARP {
            let Ok(packet) = arp::Packet::parse(frame.payload) else { panic!("no ARP packet") };
            assert_eq!((packet.sender_mac, IpAddr::V4(packet.sender_ip)), (OWN, OURS[0]));
            let is_question = packet.operation == arp::Operation::Request;
            return (frame.destination, if is_question { Notified::Question } else { Notified::Answer });
        }
        let Ok(packet) = ip::Packet::parse(frame.payload) else { panic!("no IP packet") };
        let message = packet.payload();
        assert_eq!((packet.source(), packet.hop_limit(), packet.protocol()), (OURS[1], 255, ip::ICMPV6));
        assert_eq!(checksum::add(packet.pseudo_header(), checksum::sum(message)), 0xffff, "the checksum");
        assert_eq!(message[26..], OWN.0, "the option with the link address");
        match message[0] {
            SOLICITATION => (frame.destination, Notified::Question),
            ADVERTISEMENT => {
                assert_eq!(target(message).map(IpAddr::V6), Some(OURS[1]), "we speak for ourselves");
                (frame.destination, Notified::Answer)
            }
            kind => panic!("a message of kind {kind}"),
        }
    }

    /// A frame of a neighbour's: one that is right, with an octet or two changed.
    fn frame(&self, program: &mut Program<'_>) -> Vec<u8> {
        let (kind, sender, target, link) = (program.octet(), program.address(), program.address(), program.link());
        let mut frame = match (sender, target) {
            (IpAddr::V4(sender), IpAddr::V4(target)) => arp_frame(kind, sender, target, link),
            (IpAddr::V6(sender), IpAddr::V6(target)) => discovery_frame(kind, sender, target, link),
            _ => return Vec::new(),
        };
        for _ in 0..kind >> 6 {
            let (place, octet) = (usize::from(program.octet()), program.octet());
            if let Some(changed) = frame.get_mut(place) {
                *changed ^= octet;
            }
        }
        if kind & 32 != 0 {
            mend(&mut frame);
        }
        frame
    }
}

/// What a notice is.
#[derive(PartialEq)]
enum Notified {
    Question,
    Answer,
}

fn target(message: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(*message.get(8..)?.first_chunk::<16>()?))
}

fn arp_frame(kind: u8, sender_ip: Ipv4Addr, target_ip: Ipv4Addr, sender_mac: MacAddress) -> Vec<u8> {
    let operation = if kind & 1 == 0 { arp::Operation::Request } else { arp::Operation::Reply };
    let packet = arp::Packet { operation, sender_mac, sender_ip, target_mac: OWN, target_ip };
    let header = ethernet::Header { destination: OWN, source: sender_mac, vlan: None, ether_type: ethernet::ARP };
    let mut frame = vec![0; ethernet::HEADER_LEN + arp::PACKET_LEN];
    let start = header.write(&mut frame);
    packet.write(&mut frame[start..]);
    frame
}

fn discovery_frame(kind: u8, sender: Ipv6Addr, about: Ipv6Addr, link: MacAddress) -> Vec<u8> {
    let is_question = kind & 1 == 0;
    let mut message = vec![if is_question { SOLICITATION } else { ADVERTISEMENT }, 0, 0, 0, 0x60, 0, 0, 0];
    message.extend(about.octets());
    for option in 0..kind >> 1 & 3 {
        let about_sender = is_question == (option == 0);
        message.extend([if about_sender { 1 } else { 2 }, 1]);
        message.extend(link.0);
    }
    let (source, destination) = (IpAddr::V6(sender), OURS[1]);
    let (protocol, ecn, payload_len) = (ip::ICMPV6, ip::Ecn::NotCapable, message.len());
    let header = ip::Header { source, destination, protocol, ecn, payload_len, identification: 0 };
    let below = ethernet::Header { destination: OWN, source: link, vlan: None, ether_type: ethernet::IPV6 };
    let mut frame = vec![0; ethernet::HEADER_LEN + ip::V6_HEADER_LEN];
    let start = below.write(&mut frame);
    header.write(&mut frame[start..]);
    // No router has forwarded it.
    frame[start + 7] = 255;
    frame.extend(message);
    mend(&mut frame);
    frame
}

/// Puts the right checksum into a message of neighbour discovery.
fn mend(frame: &mut [u8]) {
    let start = ethernet::HEADER_LEN;
    let at = start + ip::V6_HEADER_LEN + 2;
    let Some(field) = frame.get_mut(at..at + 2) else { return };
    field.fill(0);
    let Ok(packet) = ip::Packet::parse(&frame[start..]) else { return };
    let sum = !checksum::add(packet.pseudo_header(), checksum::sum(packet.payload()));
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}
