//! Bounds, and what others may not do.

mod support;

use afpa_tcp::{Config, Ending, Input, Integrity, State};
use afpa_wire::icmp;
use afpa_wire::ip;
use afpa_wire::tcp::{self, Flags, Options};
use support::{Host, Peer, milliseconds, pinned};

#[test]
fn a_forged_reset_or_syn_is_challenged_and_the_exact_one_believed() {
    // RFC 5961 §3.2, §4.2.
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    peer.connect(&mut host);
    for (offset, flags, answered) in [
        (1, Flags::RST, true),
        (60_000, Flags::RST, true),
        (70_000, Flags::RST, false),
        (-1, Flags::RST, false),
        (0, Flags::SYN, true),
        (100, Flags::SYN, true),
        (-50_000, Flags::SYN, true),
    ] {
        let sequence = peer.next.wrapping_add_signed(offset);
        assert_eq!(host.feed(&peer.build(sequence, flags, Options::NONE, &[])), None, "{offset} {flags:?}");
        let sent = host.sent();
        assert_eq!(!sent.is_empty(), answered, "{offset} {flags:?}");
        assert!(sent.iter().all(|sent| sent.flags == Flags::ACK && sent.acknowledgment == peer.next));
    }
    let event = host.feed(&peer.build(peer.next, Flags::RST, Options::NONE, &[])).unwrap();
    assert_eq!((event.ended, host.tcp.connections()), (Some(Ending::Reset), 0));
}

#[test]
fn challenges_are_limited() {
    let (mut host, mut peer) = (Host::new(Config { challenges_per_second: 10, ..Config::default() }), Peer::new());
    peer.connect(&mut host);
    let mut answers = 0;
    for _ in 0..100 {
        host.feed(&peer.build(peer.next.wrapping_add(5), Flags::RST, Options::NONE, &[]));
        answers += host.sent().len();
    }
    assert!((5..=10).contains(&answers), "{answers}");
}

#[test]
fn replies_that_belong_to_nobody_are_bounded() {
    let mut host = Host::new(Config { stateless_replies: 5, ..Config::default() });
    for port in 1..=50 {
        host.feed(&Peer::new().at_port(port).syn());
    }
    assert_eq!(host.sent().len(), 5);
    assert_eq!(host.tcp.stats().replies_dropped, 45);
}

#[test]
fn connections_are_bounded_and_a_slot_that_is_free_is_used_again() {
    let mut host = Host::new(Config { max_connections: 3, ..Config::default() });
    let mut peers: Vec<_> = (0..4).map(|number| Peer::new().at_port(100 + number)).collect();
    peers.iter_mut().for_each(|peer| {
        peer.open(&mut host);
    });
    let events: Vec<_> = peers.iter_mut().map(|peer| host.feed(&peer.ack())).collect();
    assert_eq!(events.iter().flatten().count(), 3);
    assert_eq!(host.tcp.stats().accepts_dropped, 1);
    let old = events[1].as_ref().unwrap().handle;
    host.tcp.abort(old);
    host.sent();
    // The fourth tries again with its data.
    let event = host.feed(&peers[3].data(b"GET /")).unwrap();
    assert_eq!(event.handle.index, old.index);
    // The old handle names nothing.
    host.tcp.send_copy(old, b"stray");
    host.tcp.close(old);
    host.tcp.abort(old);
    assert_eq!((host.tcp.peer(old), host.tcp.in_flight(old)), (None, 0));
    assert_eq!(host.tcp.connections(), 3);
    assert_eq!(host.tcp.handles().count(), 3);
}

#[test]
fn a_packet_that_is_wrong_changes_nothing() {
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    peer.connect(&mut host);
    let whole = peer.data_at(0, b"hello");
    for length in 0..whole.len() {
        assert_eq!(host.feed(&whole[..length]), None);
    }
    for position in 0..whole.len() {
        let mut octets = whole.clone();
        octets[position] ^= 0x10;
        assert_eq!(host.feed(&octets), None, "octet {position}");
        assert!(host.sent().iter().all(|sent| !sent.has(Flags::RST)), "octet {position}");
    }
    assert_eq!(host.feed(&peer.data(b"hello")).unwrap().input, b"hello");
}

#[test]
fn a_partial_checksum_is_believed_only_where_that_is_allowed() {
    for partial_checksums in [false, true] {
        let (mut host, mut peer) = (Host::new(Config { partial_checksums, ..Config::default() }), Peer::new());
        peer.connect(&mut host);
        let mut octets = peer.data(b"hello");
        let pseudo = ip::Packet::parse(&octets).unwrap().pseudo_header();
        octets[20 + tcp::CHECKSUM_OFFSET..][..2].copy_from_slice(&pseudo.to_be_bytes());
        assert_eq!(host.feed(&octets).is_some(), partial_checksums);
    }
    // What was verified below is not verified again.
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    peer.connect(&mut host);
    let mut octets = peer.data(b"hello");
    octets[20 + tcp::CHECKSUM_OFFSET] ^= 1;
    let arrival = host.tcp.process(host.now, &octets, Integrity::Verified).unwrap();
    assert_eq!(arrival.input, Input::Frame(b"hello"));
}

/// An ICMP error about a packet of the host's, sent by a router.
fn about(host: &Host, peer: &Peer, sequence: u32, kind: icmp::Kind, len: usize) -> Vec<u8> {
    let _ = host;
    let header = tcp::Header { sequence, flags: Flags::ACK, ..tcp::Header::default() };
    let quoted = support::build(peer.remote, peer.local, header, ip::Ecn::NotCapable, &vec![0; len]);
    let (source, destination) = ("10.9.9.9".parse().unwrap(), peer.remote.ip());
    let message = icmp::Header { source, destination, kind };
    let payload_len = message.message_len(quoted.len());
    let below = ip::Header {
        source,
        destination,
        protocol: ip::ICMP,
        ecn: ip::Ecn::NotCapable,
        payload_len,
        identification: 0,
    };
    let mut octets = vec![0; 20 + payload_len];
    below.write(&mut octets);
    message.write(&quoted, &mut octets[20..]);
    octets
}

#[test]
fn a_smaller_path_mtu_is_believed_only_about_what_is_in_flight() {
    // RFC 1191, RFC 5927 §7.
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    let handle = peer.connect(&mut host);
    host.tcp.send_pinned(handle, pinned(5000));
    let sent = host.sent();
    let too_big = icmp::Kind::TooBig { mtu: 1280 };
    for sequence in [peer.expected.wrapping_sub(1), peer.expected.wrapping_add(5000)] {
        host.feed(&about(&host, &peer, sequence, too_big, 1448));
        assert_eq!(host.tcp.describe(handle).unwrap().segment_size, 1448);
    }
    assert_eq!(host.tcp.stats().icmp_rejected, 2);
    host.feed(&about(&host, &peer, sent[0].sequence, too_big, 1448));
    assert_eq!(host.tcp.describe(handle).unwrap().segment_size, 1228);
    let again = host.sent();
    assert!(!again.is_empty() && again.iter().all(|sent| sent.payload.len() <= 1228));
    assert_eq!(again[0].sequence, sent[0].sequence);
    // Never below what every link takes.
    host.feed(&about(&host, &peer, sent[0].sequence, icmp::Kind::TooBig { mtu: 68 }, 1448));
    assert_eq!(host.tcp.describe(handle).unwrap().segment_size, 524);
    // And no error ends an open connection (RFC 5927 §5.2).
    let unreachable = icmp::Kind::Unreachable(icmp::Unreachable::Port);
    assert_eq!(host.feed(&about(&host, &peer, sent[0].sequence, unreachable, 100)), None);
    assert_eq!(host.tcp.describe(handle).unwrap().state, State::Established);
    // It counts for ten minutes (RFC 8201 §4).
    peer.expected = peer.expected.wrapping_add(5000);
    host.feed(&peer.ack());
    for (minutes, expected) in [(9, 524), (2, 1448)] {
        host.pass(milliseconds(minutes * 60_000));
        host.tcp.send_pinned(handle, pinned(3000));
        assert_eq!(host.sent()[0].payload.len(), expected);
        peer.expected = peer.expected.wrapping_add(3000);
        host.feed(&peer.ack());
    }
}

#[test]
fn what_a_smaller_path_mtu_sent_again_is_sent_again_when_that_is_lost() {
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    let handle = peer.connect(&mut host);
    let payload = pinned(14_480);
    host.tcp.send_pinned(handle, payload.clone());
    let mut received = Vec::new();
    for mtu in [1380, 1285] {
        let sent = host.sent();
        host.feed(&about(&host, &peer, sent[0].sequence, icmp::Kind::TooBig { mtu }, 1448));
    }
    // All of it is lost, for seconds.
    host.pass(milliseconds(4000));
    host.sink.sent.clear();
    for _ in 0..2000 {
        host.pass(milliseconds(10));
        for sent in std::mem::take(&mut host.sink.sent) {
            if sent.sequence == peer.expected {
                received.extend_from_slice(&sent.payload);
                peer.take(&sent);
                host.feed(&peer.ack());
            }
        }
    }
    assert_eq!(received, &payload[..]);
}

#[test]
fn a_black_hole_is_got_around() {
    // RFC 4821 §7.7.
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    let handle = peer.connect(&mut host);
    host.tcp.send_pinned(handle, pinned(5000));
    let mut received = 0;
    for _ in 0..200 {
        let sent = host.sent();
        for sent in sent.iter().filter(|sent| sent.payload.len() <= 1300) {
            if sent.sequence == peer.expected {
                received += sent.payload.len();
                peer.take(sent);
                host.feed(&peer.ack());
            }
        }
        host.pass(milliseconds(100));
    }
    assert_eq!(received, 5000);
    assert_eq!(host.tcp.stats().black_holes, 1);
}

#[test]
fn both_ends_may_close_at_once_and_the_port_is_used_again() {
    // RFC 9293 Figure 13, §3.6.1; RFC 6191.
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    let handle = peer.connect(&mut host);
    host.tcp.close(handle);
    let fin = host.sent_one();
    let event = host.feed(&peer.fin());
    assert_eq!(event.map(|event| event.finished), Some(true));
    assert_eq!(host.tcp.describe(handle).unwrap().state, State::Closing);
    assert_eq!(host.sent_one().acknowledgment, peer.next);
    peer.take(&fin);
    assert_eq!(host.feed(&peer.ack()).unwrap().ended, Some(Ending::Closed));
    assert_eq!((host.tcp.connections(), host.tcp.stats().time_waits), (0, 1));
    // A FIN that comes again is acknowledged again.
    let again = peer.build(peer.next.wrapping_sub(1), Flags::ACK | Flags::FIN, peer.options(), &[]);
    host.feed(&again);
    assert_eq!(host.sent_one().acknowledgment, peer.next);
    // A new connection from the same port is welcome.
    let mut next = Peer { next: peer.next.wrapping_add(10_000), clock: Some(9000), ..Peer::new() };
    next.syn_options.timestamps = Some(tcp::Timestamps { value: 9000, echo: 0 });
    next.connect(&mut host);
    assert_eq!(host.tcp.stats().time_waits_reused, 1);
}

#[test]
fn a_reset_instead_of_the_last_acknowledgment_is_no_loss() {
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    let handle = peer.connect(&mut host);
    assert!(host.feed(&peer.fin()).unwrap().finished);
    host.tcp.close(handle);
    assert!(host.sent_one().has(Flags::FIN));
    let event = host.feed(&peer.build(peer.next, Flags::RST, Options::NONE, &[])).unwrap();
    assert_eq!(event.ended, Some(Ending::Closed));
}

#[test]
fn memory_for_what_is_in_order_is_kept_free_of_what_is_not() {
    let config = Config { receive_memory: 40_000, receive_window: 40_000, ..Config::default() };
    let mut host = Host::new(config);
    let mut peers: Vec<_> = (0..8).map(|number| Peer::new().at_port(5000 + number)).collect();
    peers.iter_mut().for_each(|peer| {
        peer.connect(&mut host);
    });
    for offset in 0..10 {
        for peer in &peers {
            host.feed(&peer.data_at(100 + offset * 1448, &[1; 1448]));
            host.sent();
        }
    }
    assert!(host.tcp.stats().receive_memory_exhausted > 0);
    let mut honest = Peer::new().at_port(6000);
    honest.connect(&mut host);
    assert_eq!(host.feed(&honest.data(b"GET /")).unwrap().input, b"GET /");
}

#[test]
fn closed_connections_are_remembered_within_bounds() {
    let mut host = Host::new(Config { time_wait_entries: 4, ..Config::default() });
    for port in 1..=10 {
        let mut peer = Peer::new().at_port(port);
        let handle = peer.connect(&mut host);
        host.tcp.close(handle);
        peer.take(&host.sent_one());
        host.feed(&peer.fin());
        host.sent();
    }
    assert_eq!((host.tcp.stats().time_waits, host.tcp.stats().time_waits_evicted), (10, 6));
    assert_eq!(host.pass(milliseconds(200_000)), []);
    assert_eq!(host.tcp.next_deadline(), None);
}

#[test]
fn nothing_is_left_to_do_for_a_connection_that_is_idle() {
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    peer.connect(&mut host);
    assert_eq!(host.pass(milliseconds(1_000_000)), []);
    assert_eq!(host.tcp.next_deadline(), None);
    assert_eq!(host.sent(), []);
}
