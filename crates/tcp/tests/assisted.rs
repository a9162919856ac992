//! Somebody in front of us answers SYNs: here a twin, a TCP with the same keys that sees nothing else.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use afpa_tcp::{Assistant, Config, Handle, Opened, Time};
use afpa_wire::tcp::Flags;
use support::{Host, Peer, milliseconds};

/// A server that closes first, and its twin.
struct Pair {
    host: Host,
    twin: Host,
}

impl Pair {
    fn new() -> Pair {
        let config = Config { accept_on_data: true, ..Config::default() };
        Pair { host: Host::new(config.clone()), twin: Host::new(config) }
    }

    /// The twin answers the SYN; the server does not see it.
    fn open(&mut self, peer: &mut Peer) {
        self.twin.now = self.host.now;
        peer.open(&mut self.twin);
    }

    /// A whole connection, which the server closes first: a request, the answer with its end, the peer's.
    fn exchange(&mut self, peer: &mut Peer) -> Option<Handle> {
        self.open(peer);
        let event = self.host.feed(&peer.data(b"request"))?;
        assert!(matches!(event.opened, Some(Opened::Accepted(_))));
        assert_eq!(event.input, b"request");
        self.host.tcp.send_copy(event.handle, b"response");
        self.host.tcp.close(event.handle);
        peer.take(&self.host.sent_one());
        self.host.feed(&peer.fin()).unwrap();
        self.host.sent_one();
        assert_eq!(self.host.tcp.connections(), 0);
        Some(event.handle)
    }
}

/// A new connection of the same peer.
fn again(peer: &Peer, next: u32, clock: Option<u32>) -> Peer {
    let mut again = Peer { next, clock, ..peer.clone() };
    if let Some(timestamps) = &mut again.syn_options.timestamps {
        timestamps.value = clock.unwrap_or_default();
    }
    again
}

#[test]
fn a_port_is_used_again_while_it_is_remembered() {
    let mut pair = Pair::new();
    let mut peer = Peer::new();
    pair.exchange(&mut peer).unwrap();
    // RFC 6191 §2: a newer timestamp, whatever the sequence number is; or the same and a higher number.
    for (next, clock) in [(100, 5001), (5000, 5001), (1, 6000)] {
        pair.host.now = pair.host.now.after(milliseconds(1));
        peer = again(&peer, next, Some(clock));
        assert!(pair.exchange(&mut peer).is_some(), "{next} {clock}");
    }
    let stats = pair.host.tcp.stats();
    assert_eq!((stats.time_waits_reused, stats.challenges_sent, stats.cookies_accepted), (3, 0, 4));
}

#[test]
fn an_older_or_an_equal_segment_is_challenged() {
    for (next, clock) in [(5000, 4999), (999, 5000)] {
        let mut pair = Pair::new();
        let mut peer = Peer::new();
        pair.exchange(&mut peer).unwrap();
        pair.host.now = pair.host.now.after(milliseconds(1));
        assert_eq!(pair.exchange(&mut again(&peer, next, Some(clock))), None, "{next} {clock}");
        let challenge = pair.host.sent_one();
        assert_eq!((challenge.flags, challenge.acknowledgment), (Flags::ACK, peer.next));
    }
}

/// Its cookie is as good as it was, and its timestamp may be newer than all that we have seen.
#[test]
fn a_late_first_segment_of_the_old_connection_opens_nothing() {
    let mut pair = Pair::new();
    let mut peer = Peer::new();
    pair.host.now = pair.host.now.after(milliseconds(1));
    let mut late = peer.clone();
    pair.open(&mut late);
    pair.exchange(&mut peer).unwrap();
    for clock in [5000, 5001, 9000] {
        let mut late = Peer { clock: Some(clock), ..late.clone() };
        late.recent = late.recent.wrapping_sub(1);
        assert_eq!(pair.host.feed(&late.data(b"request")), None, "{clock}");
        assert_eq!(pair.host.tcp.connections(), 0);
    }
    assert_eq!(pair.host.tcp.stats().time_waits_reused, 0);
}

#[test]
fn without_timestamps_numbers_have_to_be_higher_on_both_sides() {
    let (mut opened, mut refused) = (0, 0);
    for number in 0..40 {
        let mut pair = Pair::new();
        let mut peer = Peer::plain().at_port(40_000 + number);
        pair.exchange(&mut peer).unwrap();
        let (before, next) = (peer.expected, if number % 4 == 0 { 500 } else { 1 << 20 });
        let mut later = again(&peer, next, None);
        let outcome = pair.exchange(&mut later);
        // What the twin chose is the higher one as often as not.
        let ours = later.expected.wrapping_sub(before) as i32;
        if outcome.is_some() {
            assert!(next > 1000 && ours > 0);
            opened += 1;
        } else {
            assert!(next < 1000 || ours < 0, "{ours}");
            refused += 1;
        }
    }
    assert!(opened > 4 && refused > 12, "{opened} {refused}");
}

/// RFC 7323 §5.3: the peer drops what is older than what it has seen.
#[test]
fn no_timestamp_is_older_than_the_one_of_the_handshake() {
    let mut pair = Pair::new();
    let mut peer = Peer::new();
    pair.twin.now = pair.host.now.after(milliseconds(3));
    peer.open(&mut pair.twin);
    let offered = peer.recent;
    let event = pair.host.feed(&peer.data(b"request")).unwrap();
    pair.host.tcp.send_copy(event.handle, b"response");
    let response = pair.host.sent_one();
    assert_eq!(response.options.timestamps.unwrap().value, offered);
    pair.host.now = pair.host.now.after(milliseconds(5));
    pair.host.tcp.send_copy(event.handle, b"more");
    assert_eq!(pair.host.sent_one().options.timestamps.unwrap().value, offered + 5);
}

/// Counts connections by their peer.
#[derive(Default)]
struct Ledger(Mutex<BTreeMap<SocketAddr, i32>>);

impl Ledger {
    fn of(&self, peer: SocketAddr) -> i32 {
        self.0.lock().unwrap().get(&peer).copied().unwrap_or_default()
    }
}

impl Assistant for Ledger {
    fn comes(&self, _: SocketAddr, remote: SocketAddr) {
        *self.0.lock().unwrap().entry(remote).or_default() += 1;
    }

    fn goes(&self, _: SocketAddr, remote: SocketAddr) {
        *self.0.lock().unwrap().entry(remote).or_default() -= 1;
    }

    fn has_offered(&self, _: Time, _: Duration, _: SocketAddr, _: SocketAddr, sequence: u32) -> bool {
        sequence == 77
    }
}

#[test]
fn the_assistant_knows_what_lives() {
    let mut pair = Pair::new();
    let ledger = Arc::new(Ledger::default());
    pair.host.tcp.assisted_by(ledger.clone());
    let mut peer = Peer::new();
    pair.open(&mut peer);
    assert_eq!(ledger.of(peer.local), 0, "a cookie is no connection");
    let event = pair.host.feed(&peer.data(b"request")).unwrap();
    assert_eq!(ledger.of(peer.local), 1);
    pair.host.tcp.abort(event.handle);
    assert_eq!(pair.host.sent_one().flags, Flags::RST | Flags::ACK);
    assert_eq!(ledger.of(peer.local), 0);
    let mut peer = peer.clone().at_port(1);
    pair.exchange(&mut peer).unwrap();
    assert_eq!(ledger.of(peer.local), 0, "timestamps tell its successor from it");
    // Without, the successor's number is chosen by us: its SYN is not the assistant's as long as it is remembered.
    for (port, wait) in [(2, Duration::from_secs(61)), (3, Duration::from_secs(100 * 3600))] {
        let mut plain = Peer::plain().at_port(port);
        pair.exchange(&mut plain).unwrap();
        assert_eq!(ledger.of(plain.local), 1);
        pair.host.pass(wait);
        assert_eq!(ledger.of(plain.local), 0);
    }
    let mut plain = Peer::plain().at_port(4);
    pair.exchange(&mut plain).unwrap();
    pair.host.feed(&again(&plain, 1 << 20, None).syn());
    assert_eq!(ledger.of(plain.local), 1, "in SYN-RECEIVED, now");
}

#[test]
fn what_overtook_the_first_segment_of_an_offered_connection_is_dropped() {
    let mut pair = Pair::new();
    pair.host.tcp.assisted_by(Arc::new(Ledger::default()));
    for (expected, replies) in [(78, 0), (79, 1)] {
        let mut peer = Peer { expected, ..Peer::new() };
        peer.data(b"first");
        assert_eq!(pair.host.feed(&peer.data(b"second")), None);
        assert_eq!(pair.host.sent().len(), replies);
    }
}
