//! One direction of the network.

use std::time::Duration;

use afpa_tcp::Time;
use fastrand::Rng;

use crate::icmp::{self, Complaint};
use crate::plan::{Chance, LinkPlan};
use crate::segment::Ip;

/// Carries packets as its plan says.
pub struct Link {
    plan: LinkPlan,
    start: Time,
    /// When the rate lets the next packet begin.
    free: Time,
    /// When the last packet that keeps its place arrives.
    last: Time,
}

/// What became of a packet.
#[derive(Default)]
pub struct Carried {
    /// Copies, and when they arrive.
    pub arrivals: Vec<(Time, Vec<u8>)>,
    /// What the link tells the sender, and when it arrives.
    pub complaint: Option<(Time, Vec<u8>)>,
    /// One word for the trace.
    pub fate: &'static str,
}

impl Link {
    /// A link whose plan begins now.
    pub fn new(plan: LinkPlan, start: Time) -> Link {
        Link { plan, start, free: start, last: start }
    }

    /// Its plan.
    pub fn plan(&self) -> &LinkPlan {
        &self.plan
    }

    /// Takes a packet that is sent now.
    pub fn carry(&mut self, now: Time, packet: Vec<u8>, random: &mut Rng) -> Carried {
        let elapsed = now.since(self.start);
        if let Some(mtu) = self.plan.mtu_at(elapsed).filter(|mtu| packet.len() > *mtu as usize) {
            return self.refuse(now, &packet, mtu);
        }
        let lost = |fate| Carried { fate, ..Carried::default() };
        if self.plan.is_out_at(elapsed) {
            return lost("out");
        }
        if happens(self.plan.loss, random) {
            return lost("lost");
        }
        let Some(leaves) = self.wait_for_rate(now, packet.len()) else { return lost("overflow") };
        let mut carried = lost("");
        let mut packet = packet;
        if happens(self.plan.marking, random) && mark(&mut packet) {
            carried.fate = "marked";
        }
        if happens(self.plan.corruption, random) {
            corrupt(&mut packet, random);
            carried.fate = "corrupted";
        }
        if happens(self.plan.duplication, random) {
            carried.fate = if carried.fate.is_empty() { "twice" } else { carried.fate };
            carried.arrivals.push((self.arrival(leaves, random), packet.clone()));
        }
        carried.arrivals.push((self.arrival(leaves, random), packet));
        carried
    }

    fn refuse(&self, now: Time, packet: &[u8], mtu: u32) -> Carried {
        let router = Ip::decode(packet).ok().map(|ip| ip.destination).filter(|_| self.plan.complains);
        let message = router.and_then(|from| icmp::complain(from, packet, Complaint::TooBig(mtu)));
        let complaint = message.map(|message| (now.after(self.plan.latency), message));
        Carried { complaint, fate: "too big", ..Carried::default() }
    }

    /// When the packet has left, if it fits the queue.
    fn wait_for_rate(&mut self, now: Time, octets: usize) -> Option<Time> {
        if self.plan.rate == 0 {
            return Some(now);
        }
        let begins = self.free.max(now);
        let waiting = begins.since(now).as_secs_f64() * self.plan.rate as f64;
        if waiting + octets as f64 > self.plan.queue as f64 {
            return None;
        }
        self.free = begins.after(Duration::from_secs_f64(octets as f64 / self.plan.rate as f64));
        Some(self.free)
    }

    fn arrival(&mut self, leaves: Time, random: &mut Rng) -> Time {
        let jitter = self.plan.jitter.mul_f64(random.f64());
        let arrives = leaves.after(self.plan.latency).after(jitter);
        if happens(self.plan.lateness_chance, random) {
            return arrives.after(self.plan.lateness);
        }
        if self.plan.ordered {
            self.last = self.last.max(arrives);
            return self.last;
        }
        arrives
    }
}

fn happens(chance: Chance, random: &mut Rng) -> bool {
    chance > 0 && random.u32(0..10_000) < chance
}

/// Says that the path is congested, if the sender understands it (RFC 3168 §5).
fn mark(packet: &mut [u8]) -> bool {
    let Ok(ip) = Ip::decode(packet) else { return false };
    let (ecn, is_v4) = (ip.ecn, ip.source.is_ipv4());
    if ecn == 0 || ecn == 3 {
        return false;
    }
    if is_v4 {
        packet[1] |= 3;
        packet[10..12].fill(0);
        let sum = crate::segment::checksum(0, &packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet[1] |= 0x30;
    }
    true
}

/// Flips one bit or two, so that a checksum finds it: two flips that cancel each other out in the ones' complement
/// sum pass real links too, and no TCP can see them. (What IPv6 does not cover, traffic class, flow label and hop limit,
/// may change unseen; nothing hangs on it.)
fn corrupt(packet: &mut [u8], random: &mut Rng) {
    let bits = packet.len() * 8;
    let first = random.usize(0..bits);
    packet[first / 8] ^= 1 << (first % 8);
    let second = random.usize(0..bits);
    // In the same column of another word it could cancel the first one out.
    if second % 16 != first % 16 {
        packet[second / 8] ^= 1 << (second % 8);
    }
}
