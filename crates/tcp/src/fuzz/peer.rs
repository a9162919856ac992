//! The other ends.

use std::net::SocketAddr;

use afpa_wire::checksum;
use afpa_wire::icmp;
use afpa_wire::ip::{self, Ecn};
use afpa_wire::tcp::{self, Flags, Options, Timestamps};

use super::program::Program;
use super::sink::Sent;

/// A peer of one tuple. It knows what was sent to it, so that what a program makes it send, said as
/// distances from that, gets past the first checks.
pub(super) struct Peer {
    /// The TCP under test.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Where its stream goes on.
    next: u32,
    /// The last acknowledgment that came.
    expected: u32,
    /// The number behind everything that came.
    seen: u32,
    /// The last timestamp that came.
    recent: u32,
    clock: u32,
}

impl Peer {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Peer {
        let next = u32::MAX - 40;
        Peer { local, remote, next, expected: next, seen: 0, recent: 0, clock: 1000 }
    }

    /// Takes note of a packet, if it is for this peer.
    pub(super) fn take(&mut self, sent: &Sent) {
        let is_new = sent.flags.contains(Flags::SYN) && !sent.flags.contains(Flags::ACK);
        if sent.remote != self.remote || (sent.local != self.local && !is_new) {
            return;
        }
        self.local = sent.local;
        let controls = u32::from(sent.flags.contains(Flags::SYN)) + u32::from(sent.flags.contains(Flags::FIN));
        let end = sent.sequence.wrapping_add(sent.payload.len() as u32 + controls);
        if sent.flags.contains(Flags::SYN) || (end.wrapping_sub(self.seen) as i32) > 0 {
            self.seen = end;
        }
        if sent.flags.contains(Flags::ACK) {
            self.expected = sent.acknowledgment;
        }
        if let Some(timestamps) = sent.options.timestamps {
            self.recent = timestamps.value;
        }
    }

    /// A segment in order, with every option.
    pub(super) fn plain(&mut self, flags: Flags, payload: usize) -> Vec<u8> {
        let options = self.options(flags, true);
        let header = self.header(self.next, self.seen, flags, 1000, options);
        self.advance(flags, payload);
        self.packet(header, Ecn::NotCapable, payload)
    }

    /// A segment as the program says.
    pub(super) fn segment(&mut self, which: u8, program: &mut Program<'_>) -> Vec<u8> {
        let flags = Flags(program.octet());
        let is_natural = which & 0x10 != 0;
        let sequence = if is_natural { self.next } else { self.expected.wrapping_add(program.distance()) };
        let acknowledgment = if which & 0x08 != 0 { self.seen } else { self.seen.wrapping_add(program.distance()) };
        let payload = if which & 0x80 != 0 { program.length() } else { 0 };
        let mut options = self.options(flags, which & 0x20 != 0);
        let (mut window, mut ecn) = (1000, Ecn::NotCapable);
        if which & 0x40 != 0 {
            let more = program.octet();
            options.sack = (0..more & 3).map(|_| self.block(program)).collect();
            options.mss = (more & 4 != 0).then(|| program.number());
            options.window_scale = (more & 8 != 0).then(|| program.octet());
            options.sack_permitted ^= more & 16 != 0;
            if let (Some(timestamps), true) = (&mut options.timestamps, more & 32 != 0) {
                timestamps.value = timestamps.value.wrapping_add(program.distance());
                timestamps.echo = timestamps.echo.wrapping_add(program.distance());
            }
            window = if more & 64 != 0 { program.number() } else { window };
            ecn = if more & 128 != 0 { Ecn::CongestionExperienced } else { ecn };
        }
        if is_natural {
            self.advance(flags, payload);
        }
        let header = self.header(sequence, acknowledgment, flags, window, options);
        self.packet(header, ecn, payload)
    }

    /// A router's, or the peer's own, complaint about what was sent.
    pub(super) fn error(&self, program: &mut Program<'_>) -> Vec<u8> {
        let kind = match program.octet() % 4 {
            0 => icmp::Kind::TooBig { mtu: u32::from(program.number()) },
            1 => icmp::Kind::Unreachable(icmp::Unreachable::Port),
            2 => icmp::Kind::Unreachable(icmp::Unreachable::Protocol),
            _ => icmp::Kind::TimeExceeded,
        };
        let sequence = self.seen.wrapping_add(program.distance());
        let (source_port, destination_port) = (self.local.port(), self.remote.port());
        let header = tcp::Header { source_port, destination_port, sequence, ..tcp::Header::default() };
        let quoted = between(self.local, self.remote, &header, Ecn::NotCapable, &vec![0; program.length().min(1400)]);
        let (source, destination) = (self.remote.ip(), self.local.ip());
        let message = icmp::Header { source, destination, kind };
        let payload_len = message.message_len(quoted.len());
        let protocol = if source.is_ipv4() { ip::ICMP } else { ip::ICMPV6 };
        let below = ip::Header { source, destination, protocol, ecn: Ecn::NotCapable, payload_len, identification: 0 };
        let mut octets = vec![0; below.header_len() + payload_len];
        let start = below.write(&mut octets);
        message.write(&quoted, &mut octets[start..]);
        octets
    }

    /// Begins its stream anew, at a distance, or goes on where it was acknowledged.
    pub(super) fn go_on(&mut self, program: &mut Program<'_>) {
        self.next = self.expected.wrapping_add(program.distance());
    }

    fn options(&mut self, flags: Flags, has_timestamps: bool) -> Options {
        self.clock = self.clock.wrapping_add(1);
        let timestamps = has_timestamps.then_some(Timestamps { value: self.clock, echo: self.recent });
        let is_first = flags.contains(Flags::SYN);
        Options {
            mss: is_first.then_some(1460),
            window_scale: is_first.then_some(7),
            sack_permitted: is_first,
            timestamps,
            ..Options::NONE
        }
    }

    fn block(&self, program: &mut Program<'_>) -> (u32, u32) {
        let first = self.seen.wrapping_sub(program.length() as u32);
        (first, first.wrapping_add(program.distance()))
    }

    fn header(&self, sequence: u32, acknowledgment: u32, flags: Flags, window: u16, options: Options) -> tcp::Header {
        let (source_port, destination_port) = (self.remote.port(), self.local.port());
        tcp::Header { source_port, destination_port, sequence, acknowledgment, flags, window, options }
    }

    fn advance(&mut self, flags: Flags, payload: usize) {
        let controls = u32::from(flags.contains(Flags::SYN)) + u32::from(flags.contains(Flags::FIN));
        self.next = self.next.wrapping_add(payload as u32 + controls);
    }

    fn packet(&self, header: tcp::Header, ecn: Ecn, payload: usize) -> Vec<u8> {
        // SYN comes before the first octet.
        let start = header.sequence.wrapping_add(u32::from(header.flags.contains(Flags::SYN)));
        let payload: Vec<_> = (0..payload as u32).map(|place| octet_at(start.wrapping_add(place))).collect();
        between(self.remote, self.local, &header, ecn, &payload)
    }
}

/// What a peer sends under this sequence number.
pub(super) fn octet_at(sequence: u32) -> u8 {
    (sequence.wrapping_mul(0x9e37_79b1) >> 13) as u8
}

fn between(source: SocketAddr, destination: SocketAddr, header: &tcp::Header, ecn: Ecn, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (source.ip(), destination.ip());
    let payload_len = header.header_len() + payload.len();
    let below = ip::Header { source, destination, protocol: ip::TCP, ecn, payload_len, identification: 0 };
    let mut octets = vec![0; below.header_len() + payload_len];
    let start = below.write(&mut octets);
    let end = start + header.write(&mut octets[start..]);
    octets[end..].copy_from_slice(payload);
    let pseudo_header = checksum::pseudo_header(source, destination, ip::TCP, payload_len as u32);
    let checksum = tcp::checksum(&octets[start..], pseudo_header);
    octets[start + tcp::CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum.to_be_bytes());
    octets
}
