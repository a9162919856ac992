//! How connections come to be, from both ends (RFC 9293 §3.5, §3.10.7.2 to §3.10.7.4).

mod support;

use std::net::SocketAddr;

use afpa_tcp::{Config, ConnectError, Ending, Handshake, ListenError, Opened, State};
use afpa_wire::ip::Ecn;
use afpa_wire::tcp::{Flags, Options};
use support::{Host, Peer, Sent, milliseconds};

/// Opens a connection of ours, and returns the peer with its SYN taken.
fn connecting(config: Config) -> (Host, Peer, afpa_tcp::Handle, Sent) {
    let mut host = Host::new(config);
    let mut peer = Peer::new();
    let handle = host.tcp.connect(host.now, peer.remote.ip(), peer.local, 9).unwrap();
    let syn = host.sent_one();
    assert_eq!((syn.flags.without(Flags::ECE | Flags::CWR), syn.destination), (Flags::SYN, peer.local));
    assert!((32_768..61_000).contains(&syn.source.port()));
    peer.remote = syn.source;
    peer.take(&syn);
    (host, peer, handle, syn)
}

#[test]
fn an_active_open_offers_everything_and_agrees_on_what_comes_back() {
    for (mss, timestamps) in [(1460, true), (536, false), (9000, true)] {
        let (mut host, mut peer, handle, syn) = connecting(Config::default());
        assert_eq!(syn.options.mss, Some(1460));
        assert!(syn.options.sack_permitted && syn.options.timestamps.is_some() && syn.options.window_scale.is_some());
        let mut options = Options { mss: Some(mss), ..peer.options() };
        if !timestamps {
            peer.clock = None;
            options.timestamps = None;
        }
        let event = host.feed(&peer.build(peer.next, Flags::SYN | Flags::ACK, options, &[])).unwrap();
        assert_eq!((event.handle, event.token, event.opened), (handle, 9, Some(Opened::Connected)));
        peer.next = peer.next.wrapping_add(1);
        let acknowledgment = host.sent_one();
        assert_eq!((acknowledgment.flags, acknowledgment.acknowledgment), (Flags::ACK, peer.next));
        let info = host.tcp.describe(handle).unwrap();
        assert_eq!(info.segment_size, mss.min(1460) - if timestamps { 12 } else { 0 });
        assert_eq!((info.timestamps, info.send_window_shift), (timestamps, None));
        assert_eq!(host.feed(&peer.data(b"hello")).unwrap().input, b"hello");
    }
}

#[test]
fn only_an_acknowledged_reset_refuses() {
    let (mut host, mut peer, _, _) = connecting(Config::default());
    // Without an acknowledgment, or with a wrong one, anybody could have sent it.
    assert_eq!(host.feed(&peer.build(0, Flags::RST, Options::NONE, &[])), None);
    peer.expected = peer.expected.wrapping_add(1);
    assert_eq!(host.feed(&peer.build(0, Flags::RST | Flags::ACK, Options::NONE, &[])), None);
    assert_eq!(host.sent(), []);
    // A wrong acknowledgment is answered by a reset (RFC 9293 §3.10.7.3).
    assert_eq!(host.feed(&peer.build(7, Flags::SYN | Flags::ACK, Options::NONE, &[])), None);
    assert_eq!((host.sent_one().flags, host.tcp.connections()), (Flags::RST, 1));
    peer.expected = peer.expected.wrapping_sub(1);
    let event = host.feed(&peer.build(0, Flags::RST | Flags::ACK, Options::NONE, &[])).unwrap();
    assert_eq!((event.ended, host.tcp.connections()), (Some(Ending::Refused), 0));
}

#[test]
fn an_open_without_an_answer_is_given_up() {
    let (mut host, _, handle, _) = connecting(Config { handshake_retries: 3, ..Config::default() });
    let events = host.pass(milliseconds(60_000));
    assert_eq!((events.len(), events[0].handle, events[0].ended), (1, handle, Some(Ending::TimedOut)));
    assert_eq!(host.sink.sent.len(), 3);
}

#[test]
fn both_ends_may_open_at_once() {
    // RFC 9293 Figure 7.
    let (mut host, mut peer, handle, syn) = connecting(Config::default());
    let expected = peer.expected;
    peer.expected = 0;
    assert_eq!(host.feed(&peer.syn()), None);
    let answer = host.sent_one();
    assert!(answer.has(Flags::SYN | Flags::ACK) && answer.sequence == syn.sequence);
    assert_eq!(answer.acknowledgment, peer.next.wrapping_add(1));
    peer.expected = expected;
    // The peer does the same.
    let event = host.feed(&peer.build(peer.next, Flags::SYN | Flags::ACK, peer.options(), &[])).unwrap();
    assert_eq!(event.opened, Some(Opened::Connected));
    assert_eq!(host.tcp.describe(handle).unwrap().state, State::Established);
    peer.next = peer.next.wrapping_add(1);
    assert_eq!(host.feed(&peer.data(b"hello")).unwrap().input, b"hello");
}

#[test]
fn a_connection_that_is_closed_while_it_opens_is_gone() {
    let (mut host, peer, handle, _) = connecting(Config::default());
    host.tcp.close(handle);
    assert_eq!(host.tcp.next_deadline(), Some(host.now));
    let events = host.pass(milliseconds(0));
    assert_eq!((events[0].handle, events[0].ended), (handle, Some(Ending::Closed)));
    host.feed(&peer.build(peer.next, Flags::SYN | Flags::ACK, peer.options(), &[]));
    assert!(host.sent_one().has(Flags::RST));
}

#[test]
fn what_is_queued_before_the_handshake_leaves_after_it() {
    let (mut host, peer, handle, _) = connecting(Config::default());
    host.tcp.send_copy(handle, b"early");
    host.tcp.finish(handle);
    assert_eq!(host.sent(), []);
    host.feed(&peer.build(peer.next, Flags::SYN | Flags::ACK, peer.options(), &[])).unwrap();
    let sent = host.sent_one();
    assert_eq!((sent.payload.as_slice(), sent.has(Flags::FIN | Flags::ACK)), (b"early".as_slice(), true));
}

#[test]
fn a_listener_answers_with_what_the_syn_offered() {
    for handshake in [Handshake::Cookies, Handshake::Queue { entries: 10 }] {
        for mut peer in [Peer::new(), Peer::plain()] {
            let mut host = Host::new(Config { handshake, ..Config::default() });
            let synchronized = peer.open(&mut host);
            assert_eq!(synchronized.options.mss, Some(1460));
            assert_eq!(synchronized.options.sack_permitted, peer.syn_options.sack_permitted);
            assert_eq!(synchronized.options.timestamps.is_some(), peer.clock.is_some());
            assert_eq!(synchronized.options.window_scale.is_some(), peer.syn_options.window_scale.is_some());
        }
    }
}

#[test]
fn a_cookie_costs_no_connection_and_a_queue_is_bounded() {
    for (handshake, expected) in [(Handshake::Cookies, 0), (Handshake::Queue { entries: 3 }, 3)] {
        let mut host = Host::new(Config { handshake, ..Config::default() });
        for port in 1..=20 {
            host.feed(&Peer::new().at_port(port).syn());
        }
        assert_eq!(host.sent().len(), 20, "each is answered");
        assert_eq!(host.tcp.connections(), expected);
        // What nobody completes is forgotten.
        assert_eq!(host.pass(milliseconds(200_000)), []);
        assert_eq!(host.tcp.connections(), 0);
    }
}

#[test]
fn a_connection_can_begin_with_its_data() {
    for handshake in [Handshake::Cookies, Handshake::Queue { entries: 3 }] {
        let mut host = Host::new(Config { handshake, accept_on_data: true, ..Config::default() });
        let mut peer = Peer::new();
        peer.open(&mut host);
        assert_eq!(host.feed(&peer.ack()), None);
        let event = host.feed(&peer.data(b"GET /")).unwrap();
        assert!(matches!(event.opened, Some(Opened::Accepted(_))));
        assert_eq!(event.input, b"GET /");
    }
}

#[test]
fn a_request_that_is_overtaken_by_its_second_half_is_not_reset() {
    let mut host = Host::new(Config::default());
    let mut peer = Peer::new();
    peer.open(&mut host);
    assert_eq!(host.feed(&peer.data_at(100, b"second")), None);
    assert_eq!(host.sent(), []);
    assert!(host.feed(&peer.data(b"first")).unwrap().opened.is_some());
}

#[test]
fn a_segment_for_nobody_is_reset_and_a_reset_is_not() {
    // RFC 9293 §3.10.7.1.
    let mut host = Host::new(Config::default());
    let stranger = Peer { remote: "10.0.0.1:81".parse().unwrap(), expected: 77, ..Peer::new() };
    for (flags, payload, expected) in [
        (Flags::SYN, &b""[..], Some((Flags::RST | Flags::ACK, 0, 1001))),
        (Flags::ACK, b"abc", Some((Flags::RST, 77, 0))),
        (Flags::FIN, b"abc", Some((Flags::RST | Flags::ACK, 0, 1004))),
        (Flags::RST, b"", None),
        (Flags::RST | Flags::ACK, b"", None),
    ] {
        assert_eq!(host.feed(&stranger.build(1000, flags, Options::NONE, payload)), None);
        let sent = host.sent();
        assert_eq!(sent.first().map(|sent| (sent.flags, sent.sequence, sent.acknowledgment)), expected);
    }
}

#[test]
fn ipv6_is_the_same() {
    let local: SocketAddr = "[fd00::1]:80".parse().unwrap();
    let mut host = Host::listening_at(Config::default(), "[::]:80".parse().unwrap());
    let mut peer = Peer { local: "[fd00::2]:5000".parse().unwrap(), remote: local, ..Peer::new() };
    let synchronized = peer.open(&mut host);
    assert_eq!(synchronized.options.mss, Some(1440));
    let event = host.feed(&peer.data(b"GET /")).unwrap();
    host.tcp.send_pinned(event.handle, support::pinned(3000));
    let sent = host.sent();
    assert_eq!(sent.iter().map(|sent| sent.payload.len()).collect::<Vec<_>>(), [1428, 1428, 144]);
    assert_eq!(host.tcp.peer(event.handle), Some(peer.local));
}

#[test]
fn congestion_notification_is_agreed_on_and_echoed_until_it_is_heard() {
    // RFC 3168 §6.1.
    let config =
        Config { congestion_notification: true, handshake: Handshake::Queue { entries: 3 }, ..Config::default() };
    let mut host = Host::new(config);
    let mut peer = Peer::new();
    let syn = peer.build(peer.next, Flags::SYN | Flags::ECE | Flags::CWR, peer.syn_options, &[]);
    host.feed(&syn);
    let synchronized = host.sent_one();
    assert!(synchronized.has(Flags::ECE) && !synchronized.has(Flags::CWR));
    peer.next = peer.next.wrapping_add(1);
    peer.take(&synchronized);
    let handle = host.feed(&peer.ack()).unwrap().handle;
    peer.ecn = Ecn::CongestionExperienced;
    host.feed(&peer.data(b"marked"));
    assert!(host.sent_one().has(Flags::ECE));
    peer.ecn = Ecn::Capable0;
    host.feed(&peer.segment(Flags::ACK | Flags::CWR, b"heard"));
    host.tcp.send_copy(handle, b"answer");
    let answer = host.sent_one();
    assert!(!answer.has(Flags::ECE));
    assert_eq!(answer.ecn, Ecn::Capable0);
    // And the other way round.
    peer.take(&answer);
    let before = host.tcp.describe(handle).unwrap().congestion_window;
    host.tcp.send_copy(handle, b"next");
    host.sent();
    peer.expected = peer.expected.wrapping_add(4);
    host.feed(&peer.segment(Flags::ACK | Flags::ECE, b""));
    assert!(host.tcp.describe(handle).unwrap().congestion_window < before);
    host.tcp.send_copy(handle, b"reduced");
    assert!(host.sent_one().has(Flags::CWR));
}

/// RFC 9293 §3.9.2.3.
#[test]
fn nobody_is_connected_to_but_one_host() {
    let cases = [
        // ours, the peer's, why not
        ("10.0.0.1", "255.255.255.255", Err(ConnectError::NotUnicast)),
        ("10.0.0.1", "224.0.0.1", Err(ConnectError::NotUnicast)),
        ("10.0.0.1", "239.255.255.250", Err(ConnectError::NotUnicast)),
        ("10.0.0.1", "0.0.0.0", Err(ConnectError::NotUnicast)),
        ("0.0.0.0", "10.0.0.2", Err(ConnectError::NotUnicast)),
        ("255.255.255.255", "10.0.0.2", Err(ConnectError::NotUnicast)),
        ("fd00::1", "ff02::1", Err(ConnectError::NotUnicast)),
        ("fd00::1", "::", Err(ConnectError::NotUnicast)),
        ("ff02::1", "fd00::2", Err(ConnectError::NotUnicast)),
        ("10.0.0.1", "fd00::2", Err(ConnectError::Addresses)),
        ("10.0.0.1", "10.0.0.2", Ok(())),
        ("fd00::1", "fd00::2", Ok(())),
    ];
    for (local, remote, expected) in cases {
        let mut host = Host::new(Config::default());
        let remote = SocketAddr::new(remote.parse().unwrap(), 80);
        let connected = host.tcp.connect(host.now, local.parse().unwrap(), remote, 0).map(|_| ());
        assert_eq!(connected, expected, "{local} to {remote}");
        assert_eq!(host.tcp.connections(), usize::from(expected.is_ok()));
        let segments = host.sent();
        assert_eq!(segments.len(), usize::from(expected.is_ok()), "{local} to {remote}");
    }
    assert!(ConnectError::NotUnicast.to_string().contains("broadcast"));
}

#[test]
fn calls_that_cannot_be_done_say_why() {
    let mut host = Host::new(Config { max_connections: 1, ephemeral_ports: 40_000..=40_001, ..Config::default() });
    let local = "10.0.0.1:80".parse::<SocketAddr>().unwrap();
    assert_eq!(host.tcp.listen(local, 0), Err(ListenError::InUse));
    for address in ["10.0.0.1:0", "224.0.0.1:80", "255.255.255.255:80", "[ff02::1]:80"] {
        assert_eq!(host.tcp.listen(address.parse().unwrap(), 0), Err(ListenError::Address), "{address}");
    }
    let v6 = "[fd00::1]:80".parse().unwrap();
    assert_eq!(host.tcp.connect(host.now, local.ip(), v6, 0), Err(ConnectError::Addresses));
    let remote = "10.0.0.2:80".parse().unwrap();
    assert!(host.tcp.connect(host.now, local.ip(), remote, 0).is_ok());
    assert_eq!(host.tcp.connect(host.now, local.ip(), remote, 0), Err(ConnectError::TooManyConnections));
    let mut host = Host::new(Config { ephemeral_ports: 40_000..=40_001, ..Config::default() });
    let ports: Vec<_> = (0..2).map(|_| host.tcp.connect(host.now, local.ip(), remote, 0)).collect();
    assert!(ports.iter().all(Result::is_ok));
    assert_eq!(host.tcp.connect(host.now, local.ip(), remote, 0), Err(ConnectError::NoPort));
}
