//! An endpoint that lies.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use afpa_tcp::Time;
use fastrand::Rng;

use crate::flags::Flags;
use crate::icmp::{self, Complaint};
use crate::network::Endpoint;
use crate::option::TcpOption;
use crate::segment::Segment;

/// A peer that opens connections, or is opened some, keeps to the handshake more or less, and then says whatever may
/// confuse a TCP. After a while it falls silent.
pub struct Hostile {
    address: IpAddr,
    victim: SocketAddr,
    random: Rng,
    lies: Vec<Lie>,
    /// How many connections it opens, and how many lies it tells.
    flows: u16,
    left: u32,
    /// It sends nothing but what will not be delivered before something else was.
    hoards: bool,
    due: Option<Time>,
    out: Vec<Vec<u8>>,
}

/// The lie that a hoarder tells.
const HOARDING: u8 = 3;

/// One connection, as the liar sees it.
struct Lie {
    port: u16,
    victim: SocketAddr,
    /// The next number of its own, and the next that it expects.
    next: u32,
    expected: u32,
    timestamps: bool,
    last_timestamp: u32,
    last: Option<Segment>,
}

impl Hostile {
    /// A liar that opens so many connections and tells so many lies, from now on.
    pub fn new(address: IpAddr, victim: SocketAddr, flows: u16, lies: u32, seed: u64) -> Hostile {
        let random = Rng::with_seed(seed ^ 0x6c69_6172);
        let due = Some(Time(0));
        Hostile { address, victim, random, lies: Vec::new(), flows, left: lies, hoards: false, due, out: Vec::new() }
    }

    /// A liar that fills its victim's memory with the ends of windows, quickly.
    pub fn hoarder(address: IpAddr, victim: SocketAddr, flows: u16, lies: u32, seed: u64) -> Hostile {
        Hostile { hoards: true, ..Hostile::new(address, victim, flows, lies, seed) }
    }

    fn segment(&self, lie: usize) -> Segment {
        let lie = &self.lies[lie];
        let mut segment = Segment::new(SocketAddr::new(self.address, lie.port), lie.victim);
        segment.flags = Flags::ACK;
        segment.sequence = lie.next;
        segment.acknowledgment = lie.expected;
        segment.window = 60_000;
        if lie.timestamps {
            segment.options.push(TcpOption::Timestamps { value: lie.next, echo: lie.last_timestamp });
        }
        segment
    }

    fn say(&mut self, segment: &Segment) {
        self.out.push(segment.encode());
    }

    fn open(&mut self) {
        let port = 10_000 + self.lies.len() as u16;
        let (next, timestamps) = (self.random.u32(..), self.random.bool());
        let victim = self.victim;
        self.lies.push(Lie { port, victim, next, expected: 0, timestamps, last_timestamp: 0, last: None });
        let mut syn = self.segment(self.lies.len() - 1);
        syn.flags = if self.random.bool() { Flags::SYN } else { Flags::SYN | Flags::ECE | Flags::CWR };
        syn.acknowledgment = 0;
        self.offer(&mut syn);
        self.say(&syn);
    }

    /// Options of a SYN.
    fn offer(&mut self, syn: &mut Segment) {
        syn.options.push(TcpOption::Mss([0, 1, 64, 536, 1460, 65_535][self.random.usize(0..6)]));
        if self.random.bool() {
            syn.options.push(TcpOption::SackPermitted);
        }
        if self.random.bool() {
            syn.options.push(TcpOption::WindowScale(self.random.u8(..)));
        }
    }

    /// The victim opens a connection: mostly it gets what it asked for.
    fn answer(&mut self, syn: &Segment) {
        let (next, port, victim) = (self.random.u32(..), syn.destination.port(), syn.source);
        let (timestamps, last_timestamp) = (syn.timestamps().is_some(), syn.timestamps().map_or(0, |(value, _)| value));
        let expected = syn.sequence.wrapping_add(1);
        let last = Some(syn.clone());
        self.lies.push(Lie { port, victim, next, expected, timestamps, last_timestamp, last });
        let at = self.lies.len() - 1;
        let mut answer = self.segment(at);
        answer.flags = match self.random.u8(0..12) {
            0 => Flags::SYN,
            1 => Flags::ACK,
            2 => Flags::SYN | Flags::FIN | Flags::ACK,
            3 => Flags::SYN | Flags::ACK | Flags::ECE | Flags::CWR,
            4 => Flags::SYN | Flags::ACK | Flags::ECE,
            _ => Flags::SYN | Flags::ACK,
        };
        if self.random.u8(0..10) == 0 {
            answer.acknowledgment = self.random.u32(..);
        }
        self.offer(&mut answer);
        if self.random.u8(0..4) == 0 {
            answer.payload = vec![1; self.random.usize(0..1_000)];
        }
        self.lies[at].next = next.wrapping_add(answer.length());
        self.say(&answer);
    }

    fn lie(&mut self) {
        let at = self.random.usize(0..self.lies.len());
        let mut segment = self.segment(at);
        let near = self.random.u32(1..=3_000);
        match if self.hoards { HOARDING } else { self.random.u8(0..18) } {
            0 | 1 => self.speak(at, &mut segment),
            2 => self.contradict(&mut segment, near),
            HOARDING => {
                let ahead = [self.random.u32(1..60_000), self.random.u32(..)][self.random.usize(0..2)];
                segment.sequence = segment.sequence.wrapping_add(ahead);
                segment.payload = vec![self.random.u8(..); self.random.usize(0..=1_400)];
            }
            4 => segment.acknowledgment = segment.acknowledgment.wrapping_add(near),
            5 => segment.acknowledgment = segment.acknowledgment.wrapping_sub(near),
            6 => segment.acknowledgment = self.random.u32(..),
            7 => segment.window = [0, 1, 100, self.random.u16(..)][self.random.usize(0..4)],
            8 | 9 => self.forge_sack(&mut segment),
            10 => segment.flags = Flags(self.random.u8(..)),
            11 => self.reset(&mut segment, near),
            12 => {
                segment.flags = Flags::FIN | Flags::ACK;
                segment.sequence = segment.sequence.wrapping_add([0, near][self.random.usize(0..2)]);
            }
            13 => {
                segment.flags = segment.flags | Flags::URG;
                segment.urgent = self.random.u16(..);
                self.speak(at, &mut segment);
            }
            14 => {
                let octets = (0..self.random.usize(0..=40)).map(|_| self.random.u8(..)).collect();
                segment.options = vec![TcpOption::Raw(octets)];
            }
            15 => {
                let (value, echo) = (self.random.u32(..), self.random.u32(..));
                segment.options = vec![TcpOption::Timestamps { value, echo }];
            }
            16 => return self.complain(at),
            _ => return self.repeat(&segment, at),
        }
        segment.ecn = self.random.u8(0..4);
        self.say(&segment);
    }

    /// Honest data, in odd sizes.
    fn speak(&mut self, at: usize, segment: &mut Segment) {
        let count = [1, 1, 10, 536, 1_400][self.random.usize(0..5)];
        segment.payload = vec![self.random.u8(..); count];
        self.lies[at].next = segment.sequence.wrapping_add(count as u32);
    }

    /// Data that overlaps what was sent before, or what will be, and says something else.
    fn contradict(&mut self, segment: &mut Segment, near: u32) {
        let shift = [near, near.wrapping_neg()][self.random.usize(0..2)];
        segment.sequence = segment.sequence.wrapping_add(shift);
        segment.payload = vec![self.random.u8(..); self.random.usize(1..=1_400)];
    }

    fn forge_sack(&mut self, segment: &mut Segment) {
        let blocks = (0..self.random.usize(1..=3)).map(|_| {
            let left = segment.acknowledgment.wrapping_add(self.random.u32(0..20_000)).wrapping_sub(2_000);
            (left, left.wrapping_add(self.random.u32(0..5_000)).wrapping_sub(500))
        });
        let blocks: Vec<_> = blocks.collect();
        segment.options.push(TcpOption::Sack(blocks));
        segment.acknowledgment = segment.acknowledgment.wrapping_sub(self.random.u32(0..15_000));
    }

    fn reset(&mut self, segment: &mut Segment, near: u32) {
        segment.flags = [Flags::RST, Flags::SYN, Flags::RST | Flags::ACK][self.random.usize(0..3)];
        // Seldom exactly right: the victim is to live on.
        if self.random.u8(0..20) > 0 {
            segment.sequence = segment.sequence.wrapping_add(near);
        }
    }

    fn complain(&mut self, at: usize) {
        let Some(last) = self.lies[at].last.clone() else { return };
        let complaint = match self.random.u8(0..4) {
            0 => Complaint::PortUnreachable,
            1 => Complaint::HostUnreachable,
            _ => Complaint::TooBig([0, 68, 576, 1_300, self.random.u32(..)][self.random.usize(0..5)]),
        };
        self.out.extend(icmp::complain(self.address, &last.encode(), complaint));
    }

    /// The same again and again, or half of it, or with bits flipped.
    fn repeat(&mut self, segment: &Segment, at: usize) {
        let mut segment = segment.clone();
        self.speak(at, &mut segment);
        let mut packet = segment.encode();
        match self.random.u8(0..3) {
            0 => (0..self.random.usize(1..40)).for_each(|_| self.out.push(packet.clone())),
            1 => {
                packet.truncate(self.random.usize(0..packet.len()));
                self.out.push(packet);
            }
            _ => {
                let bit = self.random.usize(0..packet.len() * 8);
                packet[bit / 8] ^= 1 << (bit % 8);
                self.out.push(packet);
            }
        }
    }
}

impl Endpoint for Hostile {
    fn receive(&mut self, _: Time, packet: &[u8]) {
        let Ok(segment) = Segment::decode(packet) else { panic!("the victim sent a broken packet") };
        if self.due.is_none() {
            return;
        }
        let ports = |lie: &Lie| lie.port == segment.destination.port() && lie.victim == segment.source;
        let Some(at) = self.lies.iter().position(ports) else {
            if segment.flags == Flags::SYN || segment.flags == Flags::SYN | Flags::ECE | Flags::CWR {
                self.answer(&segment);
            }
            return;
        };
        let lie = &mut self.lies[at];
        lie.last_timestamp = segment.timestamps().map_or(lie.last_timestamp, |(value, _)| value);
        if segment.flags.contains(Flags::SYN) && lie.last.is_none() {
            lie.next = lie.next.wrapping_add(1);
        }
        let end = segment.sequence.wrapping_add(segment.length());
        if lie.last.is_none() || end.wrapping_sub(lie.expected) as i32 > 0 {
            lie.expected = end;
        }
        let length = segment.length();
        lie.last = Some(segment);
        // Mostly it acknowledges, so that there is more to lie about.
        if length > 0 && self.random.u8(0..10) > 0 {
            let answer = self.segment(at);
            self.say(&answer);
        }
    }

    fn expire(&mut self, now: Time) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        if self.lies.len() < usize::from(self.flows) {
            self.open();
        } else {
            self.left = self.left.saturating_sub(1);
            if !self.lies.is_empty() {
                self.lie();
            }
        }
        let longest = if self.hoards { 2 } else { 3 };
        let pause = Duration::from_micros([10, 1_000, 60_000][self.random.usize(0..longest)]);
        self.due = (self.left > 0).then(|| now.after(pause));
    }

    fn transmit(&mut self, _: Time, out: &mut Vec<Vec<u8>>) {
        out.append(&mut self.out);
    }

    fn deadline(&self) -> Option<Time> {
        self.due
    }

    fn is_honest(&self) -> bool {
        false
    }
}
