//! The server's life: handshake, requests and responses, and the end (RFC 9293 §3.5, §3.6, §3.8).

mod support;

use std::time::Duration;

use afpa_tcp::{Config, Ending, Handshake, KeepAlive};
use afpa_wire::tcp::Flags;
use support::{Host, Peer, milliseconds, pinned};

#[test]
fn a_request_is_acknowledged_by_its_response_and_the_last_response_by_its_fin() {
    let mut host = Host::new(Config::default());
    let mut peer = Peer::new();
    let handle = peer.connect(&mut host);
    let event = host.feed(&peer.data(b"GET /")).unwrap();
    assert_eq!(event.input, b"GET /");
    host.tcp.send_copy(handle, b"HTTP/1.1 200\r\n");
    host.tcp.send_pinned(handle, pinned(100));
    let response = host.sent_one();
    assert_eq!(response.acknowledgment, peer.next);
    assert_eq!(response.payload.len(), 114);
    assert!(response.has(Flags::ACK | Flags::PSH) && !response.has(Flags::FIN));
    peer.take(&response);

    // The acknowledgment comes with the next request.
    let event = host.feed(&peer.data(b"GET /2")).unwrap();
    assert_eq!((event.acknowledged, event.input.as_slice()), (114, b"GET /2".as_slice()));
    host.tcp.send_copy(handle, b"last");
    host.tcp.close(handle);
    let response = host.sent_one();
    assert!(response.has(Flags::ACK | Flags::FIN), "FIN rides on the response");
    assert_eq!(response.payload, b"last");
    peer.take(&response);

    let event = host.feed(&peer.fin()).unwrap();
    assert_eq!((event.acknowledged, event.ended), (4, Some(Ending::Closed)));
    assert_eq!(host.tcp.connections(), 0);
    let last = host.sent_one();
    assert_eq!((last.acknowledgment, last.flags), (peer.next, Flags::ACK));
}

#[test]
fn the_peer_may_close_first() {
    let mut host = Host::new(Config::default());
    let mut peer = Peer::new();
    let handle = peer.connect(&mut host);
    let mut request = peer.clone();
    let octets = request.segment(Flags::ACK | Flags::FIN, b"GET /");
    peer.next = request.next;
    let event = host.feed(&octets).unwrap();
    assert!(event.finished && event.input == b"GET /");
    host.tcp.send_copy(handle, b"answer");
    host.tcp.close(handle);
    let response = host.sent_one();
    assert!(response.has(Flags::FIN) && response.acknowledgment == peer.next);
    peer.take(&response);
    let event = host.feed(&peer.ack()).unwrap();
    assert_eq!((event.acknowledged, event.ended), (6, Some(Ending::Closed)));
    assert_eq!(host.sent(), []);
    assert_eq!(host.tcp.connections(), 0);
}

#[test]
fn an_acknowledgment_waits_for_a_response_but_not_for_ever() {
    let mut host = Host::new(Config::default());
    let mut peer = Peer::new();
    peer.connect(&mut host);
    host.feed(&peer.data(b"GET /"));
    assert_eq!(host.sent(), []);
    host.pass(milliseconds(39));
    assert_eq!(host.sent(), []);
    host.pass(milliseconds(3));
    assert_eq!(host.sent_one().acknowledgment, peer.next);
}

#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    let mut host = Host::new(Config::default());
    let mut peer = Peer::new();
    peer.connect(&mut host);
    host.feed(&peer.data(&[1; 1448]));
    assert_eq!(host.sent(), []);
    host.feed(&peer.data(&[1; 1448]));
    assert_eq!(host.sent_one().acknowledgment, peer.next);
}

#[test]
fn every_handshake_policy_accepts() {
    for handshake in [Handshake::Cookies, Handshake::Queue { entries: 2 }] {
        for mut peer in [Peer::new(), Peer::plain()] {
            let mut host = Host::new(Config { handshake, ..Config::default() });
            let handle = peer.connect(&mut host);
            let info = host.tcp.describe(handle).unwrap();
            assert_eq!(info.timestamps, peer.clock.is_some());
            assert_eq!(info.selective_acknowledgments, peer.syn_options.sack_permitted);
            assert_eq!(info.send_window_shift, peer.syn_options.window_scale);
        }
    }
}

#[test]
fn a_lost_response_is_sent_again() {
    let mut host = Host::new(Config::default());
    let mut peer = Peer::new();
    let handle = peer.connect(&mut host);
    host.feed(&peer.data(b"GET /"));
    host.tcp.send_copy(handle, b"answer");
    let response = host.sent_one();
    host.pass(milliseconds(2000));
    let again = std::mem::take(&mut host.sink.sent);
    assert!(!again.is_empty());
    assert!(again.iter().all(|sent| sent.payload == response.payload && sent.sequence == response.sequence));
    peer.take(&response);
    assert_eq!(host.feed(&peer.ack()).unwrap().acknowledged, 6);
    host.pass(milliseconds(100_000));
    assert_eq!(host.sent(), []);
}

#[test]
fn a_connection_that_ended_leaves_no_deadline_behind() {
    let hours = Duration::from_secs(7200);
    let keep_alive = KeepAlive { idle: hours, interval: hours, probes: 3 };
    let mut host = Host::new(Config { keep_alive: Some(keep_alive), ..Config::default() });
    let mut peer = Peer::new();
    let handle = peer.connect(&mut host);
    assert!(host.tcp.next_deadline().is_some());
    host.tcp.abort(handle);
    host.sent_one();
    assert_eq!(host.tcp.next_deadline(), None);
}
