//! Which frames the program takes, one by one: the kernel runs it on each.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OURS_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const PEER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The program, attached to nothing.
struct Program {
    program: OwnedFd,
    maps: HashMap<&'static str, Map>,
}

impl Program {
    /// `None` where programs cannot be loaded.
    fn load() -> Option<Program> {
        match load(Room::ONE) {
            Ok((program, maps)) => Some(Program { program, maps }),
            Err(SteeringError::NoPrivilege | SteeringError::NoBpf) => {
                let is_root = rustix::process::geteuid().is_root();
                assert!(!is_root || std::env::var("CI").as_deref() != Ok("true"), "root may load BPF programs");
                eprintln!("skipped: this process may not load BPF programs");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn list(&self, protocol: Protocol, local: &str) {
        let local: SocketAddr = local.parse().unwrap();
        let key = key(local.ip(), local.port().to_be_bytes(), protocol);
        self.maps["services"].set(&key, &STEERED.to_ne_bytes()).unwrap();
    }

    /// Whether the program would send a frame to a socket. There is none, so that it counts and passes it.
    fn takes(&self, frame: &[u8]) -> bool {
        let counters = &self.maps["counters"];
        let before = [counters.sum(0).unwrap(), counters.sum(2).unwrap()];
        assert_eq!(system::run(self.program.as_fd(), frame).unwrap().0, 2, "XDP_PASS");
        let after = [counters.sum(0).unwrap(), counters.sum(2).unwrap()];
        assert_eq!(before[0] + before[1] + 1, after[0] + after[1], "each frame is counted once");
        after[1] > before[1]
    }
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &kind.to_be_bytes(), payload].concat()
}

/// An IPv4 packet with `options` words of options.
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, options: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 20 + 4 * usize::from(options)];
    packet[0] = 0x45 + options;
    packet[9] = protocol;
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.octets());
    packet.extend_from_slice(payload);
    packet
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = [0; 8];
    packet[0] = 0x60;
    packet[6] = next_header;
    [&packet[..], &from.octets(), &to.octets(), payload].concat()
}

/// The ports and some octets of a segment or datagram.
fn segment(from: u16, to: u16) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 16]].concat()
}

/// An extension header of `words` times eight octets.
fn extension(next_header: u8, words: u8) -> Vec<u8> {
    let mut header = vec![0; 8 * usize::from(words)];
    header[..2].copy_from_slice(&[next_header, words - 1]);
    header
}

#[test]
fn frames_of_listed_services_are_taken_and_no_others() {
    let Some(program) = Program::load() else { return };
    program.list(Protocol::Tcp, "192.0.2.1:80");
    program.list(Protocol::Udp, "0.0.0.0:53");
    program.list(Protocol::Tcp, "[2001:db8::1]:80");
    let v4 = |to, protocol, port| ethernet(0x0800, &ipv4(PEER, to, protocol, 0, &segment(999, port)));
    let v6 = |to, protocol, port| ethernet(0x86dd, &ipv6(PEER_6, to, protocol, &segment(999, port)));
    let tagged = |kind: u16| {
        let packet = ipv4(PEER, OURS, TCP, 0, &segment(999, 80));
        ethernet(kind, &[&[0, 7, 0x08, 0x00][..], &packet].concat())
    };
    let fragment = |field: [u8; 2]| {
        let mut packet = ipv4(PEER, OURS, TCP, 0, &segment(999, 80));
        packet[6..8].copy_from_slice(&field);
        ethernet(0x0800, &packet)
    };
    let cases = [
        (v4(OURS, TCP, 80), true, "a listed service"),
        (v4(OURS, TCP, 81), false, "another port"),
        (v4(OURS, UDP, 80), false, "another protocol"),
        (v4(PEER, TCP, 80), false, "another address"),
        (v4(OURS, UDP, 53), true, "any address"),
        (v4(PEER, UDP, 53), true, "any address, another one"),
        (v4(OURS, 47, 80), false, "neither TCP nor UDP"),
        (v6(OURS_6, TCP, 80), true, "IPv6"),
        (v6(OURS_6, UDP, 53), false, "any IPv4 address is no IPv6 address"),
        (v6(PEER_6, TCP, 80), false, "another IPv6 address"),
        (tagged(0x8100), true, "a VLAN tag"),
        (tagged(0x88a8), true, "a service VLAN tag"),
        (fragment([0x20, 0]), false, "a first fragment"),
        (fragment([0, 1]), false, "another fragment"),
        (fragment([0x40, 0]), true, "not to be fragmented"),
        (ethernet(0x0806, &[0; 28]), false, "ARP"),
    ];
    for (frame, expected, what) in cases {
        assert_eq!(program.takes(&frame), expected, "{what}");
    }
    for options in 0..=10 {
        let packet = ipv4(PEER, OURS, TCP, options, &segment(999, 80));
        assert!(program.takes(&ethernet(0x0800, &packet)), "{options} words of options");
    }
}

#[test]
fn extension_headers_are_walked_over() {
    let Some(program) = Program::load() else { return };
    program.list(Protocol::Tcp, "[2001:db8::1]:80");
    let frame = |first, rest: &[Vec<u8>]| {
        ethernet(0x86dd, &ipv6(PEER_6, OURS_6, first, &[&rest.concat()[..], &segment(999, 80)].concat()))
    };
    let cases = [
        (frame(0, &[extension(TCP, 1)]), true, "hop-by-hop"),
        (frame(0, &[extension(43, 2), extension(60, 4), extension(TCP, 3)]), true, "three of them"),
        (frame(60, &[extension(TCP, 100)]), true, "a long one"),
        (frame(0, &[extension(60, 1), extension(43, 1), extension(60, 1), extension(TCP, 1)]), false, "four of them"),
        (frame(44, &[extension(TCP, 1)]), false, "a fragment"),
        (frame(59, &[]), false, "no next header"),
    ];
    for (frame, expected, what) in cases {
        assert_eq!(program.takes(&frame), expected, "{what}");
    }
}

#[test]
fn errors_are_taken_if_they_quote_us() {
    let Some(program) = Program::load() else { return };
    program.list(Protocol::Tcp, "192.0.2.1:80");
    program.list(Protocol::Udp, "[2001:db8::1]:53");
    let error = |kind: u8, quoted: Vec<u8>| {
        let message = [&[kind, 4, 0, 0, 0, 0, 5, 0][..], &quoted].concat();
        ethernet(0x0800, &ipv4(PEER, OURS, 1, 0, &message))
    };
    let error_6 = |kind: u8, quoted: Vec<u8>| {
        let message = [&[kind, 0, 0, 0, 0, 0, 5, 0][..], &quoted].concat();
        ethernet(0x86dd, &ipv6(PEER_6, OURS_6, 58, &message))
    };
    let sent = |port| ipv4(OURS, PEER, TCP, 0, &segment(port, 999));
    let sent_6 = |port| ipv6(OURS_6, PEER_6, UDP, &segment(port, 999));
    let cases = [
        (error(3, sent(80)), true, "unreachable"),
        (error(11, sent(80)), true, "time exceeded"),
        (error(12, sent(80)), true, "parameter problem"),
        (error(3, sent(81)), false, "about the kernel's"),
        (error(5, sent(80)), false, "a redirect"),
        (error(8, sent(80)), false, "an echo request"),
        (error(3, ipv4(PEER, OURS, TCP, 0, &segment(80, 80))), false, "about what others sent"),
        (error_6(1, sent_6(53)), true, "unreachable, IPv6"),
        (error_6(2, sent_6(53)), true, "too big"),
        (error_6(2, sent_6(54)), false, "about the kernel's, IPv6"),
        (error_6(128, sent_6(53)), false, "an echo request, IPv6"),
        (error_6(135, sent_6(53)), false, "neighbour discovery"),
    ];
    for (frame, expected, what) in cases {
        assert_eq!(program.takes(&frame), expected, "{what}");
    }
}

#[test]
fn ranges_are_of_tcp_and_of_their_address() {
    let Some(program) = Program::load() else { return };
    let range: [u8; 4] = [40_000u16.to_ne_bytes(), 40_100u16.to_ne_bytes()].concat().try_into().unwrap();
    program.maps["ranges"].set(&host(OURS.into()), &range).unwrap();
    program.maps["ranges"].set(&host(OURS_6.into()), &range).unwrap();
    for (port, expected) in [(39_999, false), (40_000, true), (40_100, true), (40_101, false)] {
        let frame = |to, protocol| ethernet(0x0800, &ipv4(PEER, to, protocol, 0, &segment(80, port)));
        assert_eq!(program.takes(&frame(OURS, TCP)), expected, "{port}");
        assert!(!program.takes(&frame(OURS, UDP)) && !program.takes(&frame(PEER, TCP)));
        let frame = ethernet(0x86dd, &ipv6(PEER_6, OURS_6, TCP, &segment(80, port)));
        assert_eq!(program.takes(&frame), expected, "{port}");
    }
}

#[test]
fn what_is_cut_off_passes() {
    let Some(program) = Program::load() else { return };
    program.list(Protocol::Tcp, "192.0.2.1:80");
    program.list(Protocol::Udp, "[2001:db8::1]:53");
    let quoted = ipv4(OURS, PEER, TCP, 0, &segment(80, 999));
    let error = ipv4(PEER, OURS, 1, 0, &[&[3, 4, 0, 0, 0, 0, 5, 0][..], &quoted].concat());
    let frames = [
        (ethernet(0x0800, &ipv4(PEER, OURS, TCP, 3, &segment(999, 80))), 14 + 32 + 4),
        (ethernet(0x86dd, &ipv6(PEER_6, OURS_6, 0, &[extension(UDP, 2), segment(999, 53)].concat())), 14 + 56 + 4),
        (ethernet(0x0800, &error), 14 + 20 + 8 + 20 + 4),
    ];
    for (frame, needed) in frames {
        for end in 14..frame.len() {
            assert_eq!(program.takes(&frame[..end]), end >= needed, "{end} octets of a frame");
        }
    }
}
