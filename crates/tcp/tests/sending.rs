//! What a connection sends: segments, windows, retransmissions.

mod support;

use afpa_tcp::{Checksum, Config, Ending, State};
use afpa_wire::tcp::Flags;
use support::{Host, Peer, Sent, milliseconds, pinned};

/// A connection to a peer with a window for everything.
fn open(config: Config, peer: &mut Peer) -> (Host, afpa_tcp::Handle) {
    let mut host = Host::new(config);
    let handle = peer.connect(&mut host);
    (host, handle)
}

fn octets(sent: &[Sent]) -> usize {
    sent.iter().map(|sent| sent.payload.len()).sum()
}

#[test]
fn the_first_flight_is_ten_segments_and_large_ones_are_cut_by_the_device() {
    // RFC 6928 §2.
    for max_payload in [0, 4000, 65_535] {
        let mut peer = Peer::new();
        let (mut host, handle) = open(Config::default(), &mut peer);
        host.sink.max_payload = max_payload;
        let payload = pinned(100_000);
        host.tcp.send_pinned(handle, payload.clone());
        let mut received = Vec::new();
        let first = host.sent();
        assert_eq!(first.len(), 10, "with {max_payload}");
        assert!(first.iter().all(|sent| sent.payload.len() == 1448));
        let mut sent = first;
        for _ in 0..100 {
            for sent in &sent {
                assert_eq!(sent.sequence, peer.expected);
                received.extend_from_slice(&sent.payload);
                peer.take(sent);
            }
            host.feed(&peer.ack());
            sent = host.sent();
        }
        assert_eq!(received, &payload[..]);
        assert_eq!(host.tcp.in_flight(handle), 0);
        assert!(host.sink.largest <= max_payload.max(1448) + 52);
    }
}

#[test]
fn a_checksum_is_the_same_whether_stored_or_computed() {
    // Pieces of odd lengths, so that stored sums have to be swapped (RFC 1071 §2(B)); the collector verifies.
    for checksum in [Checksum::Stored, Checksum::Computed] {
        let mut peer = Peer::new();
        let (mut host, handle) = open(Config { checksum, ..Config::default() }, &mut peer);
        for len in [1, 7, 100, 333, 1, 2000] {
            host.tcp.send_copy(handle, &vec![len as u8; len / 3]);
            host.tcp.send_pinned(handle, pinned(len));
        }
        let expected = [1, 7, 100, 333, 1, 2000].iter().map(|len| len / 3 + len).sum::<usize>();
        assert_eq!(octets(&host.sent()), expected);
    }
}

#[test]
fn a_full_sink_loses_nothing() {
    let mut peer = Peer::new();
    let (mut host, handle) = open(Config::default(), &mut peer);
    let payload = pinned(20_000);
    host.tcp.send_pinned(handle, payload.clone());
    host.tcp.close(handle);
    let mut received = Vec::new();
    let mut is_finished = false;
    for _ in 0..100 {
        host.sink.room = 1;
        let is_drained = host.tcp.dispatch(host.now, &mut host.sink);
        let sent = std::mem::take(&mut host.sink.sent);
        for sent in &sent {
            assert_eq!(sent.sequence, peer.expected);
            received.extend_from_slice(&sent.payload);
            is_finished |= sent.has(Flags::FIN);
            peer.take(sent);
        }
        if is_drained {
            host.sink.room = usize::MAX;
            host.feed(&peer.ack());
            host.sink.room = 1;
        }
    }
    assert!(is_finished && received == payload[..]);
}

#[test]
fn nagle_holds_small_segments_back_while_something_is_outstanding() {
    // RFC 9293 §3.7.4.
    for (nagle, expected) in [(false, 2), (true, 1)] {
        let mut peer = Peer::new();
        let (mut host, handle) = open(Config { nagle, ..Config::default() }, &mut peer);
        let mut sent = Vec::new();
        for _ in 0..2 {
            host.tcp.send_copy(handle, b"small");
            sent.extend(host.sent());
        }
        assert_eq!(sent.len(), expected, "nagle: {nagle}");
        sent.iter().for_each(|sent| peer.take(sent));
        host.feed(&peer.ack());
        assert_eq!(host.sent().len(), 2 - expected);
    }
}

#[test]
fn a_silly_window_is_not_used_until_it_has_to_be() {
    // RFC 9293 §3.8.6.2.1.
    let mut peer = Peer::plain();
    let (mut host, handle) = open(Config::default(), &mut peer);
    peer.window = 100;
    host.feed(&peer.ack());
    host.tcp.send_pinned(handle, pinned(5000));
    assert_eq!(host.sent(), []);
    host.pass(milliseconds(5000));
    let probes = std::mem::take(&mut host.sink.sent);
    assert!(!probes.is_empty() && probes.iter().all(|probe| probe.payload.len() <= 100), "{probes:?}");
}

#[test]
fn a_closed_window_is_probed_for_ever_if_the_peer_answers_and_not_if_it_does_not() {
    // RFC 9293 §3.8.6.1.
    for answers in [true, false] {
        let mut peer = Peer::plain();
        let (mut host, handle) = open(Config { retries: 5, ..Config::default() }, &mut peer);
        peer.window = 0;
        host.feed(&peer.ack());
        host.tcp.send_pinned(handle, pinned(5000));
        let mut ended = None;
        for _ in 0..100 {
            let events = host.pass(milliseconds(10_000));
            ended = ended.or(events.iter().find_map(|event| event.ended));
            if !std::mem::take(&mut host.sink.sent).is_empty() && answers {
                host.feed(&peer.ack());
            }
        }
        assert_eq!(ended, (!answers).then_some(Ending::TimedOut));
        if answers {
            peer.window = 60_000;
            host.feed(&peer.ack());
            assert_eq!(octets(&host.sent()), 5000);
        }
    }
}

#[test]
fn pins_are_dropped_when_acknowledged_and_not_before() {
    let mut peer = Peer::new();
    let (mut host, handle) = open(Config::default(), &mut peer);
    let payload = pinned(3000);
    host.tcp.send_pinned(handle, payload.clone());
    let sent = host.sent();
    assert_eq!(std::rc::Rc::strong_count(&payload), 2);
    peer.take(&sent[0]);
    assert_eq!(host.feed(&peer.ack()).unwrap().acknowledged, 1448);
    assert_eq!(std::rc::Rc::strong_count(&payload), 2);
    sent.iter().for_each(|sent| peer.take(sent));
    assert_eq!(host.feed(&peer.ack()).unwrap().acknowledged, 3000 - 1448);
    assert_eq!(std::rc::Rc::strong_count(&payload), 1);

    // Nor does an abort leave one behind.
    host.tcp.send_pinned(handle, payload.clone());
    host.sent();
    host.tcp.abort(handle);
    assert_eq!(std::rc::Rc::strong_count(&payload), 1);
    assert!(host.sent_one().has(Flags::RST));
    assert_eq!(host.feed(&peer.data(b"late")), None);
}

#[test]
fn three_duplicates_or_a_sack_bring_a_fast_retransmission() {
    // RFC 5681 §3.2, RFC 6675, RFC 8985.
    for mut peer in [Peer::new(), Peer::plain()] {
        let (mut host, handle) = open(Config::default(), &mut peer);
        host.tcp.send_pinned(handle, pinned(10_000));
        let sent = host.sent();
        let lost = sent[0].clone();
        host.now = host.now.after(milliseconds(20));
        let mut again = Vec::new();
        for (number, segment) in sent.iter().enumerate().skip(1) {
            let end = segment.sequence.wrapping_add(segment.payload.len() as u32).wrapping_sub(peer.expected);
            let first = sent[1].sequence.wrapping_sub(peer.expected);
            let acknowledgment = if peer.clock.is_some() { peer.sack(&[(first, end)]) } else { peer.ack() };
            host.feed(&acknowledgment);
            again.extend(host.sent().into_iter().map(|sent| (number, sent)));
        }
        let (number, first) = &again[0];
        assert!(*number <= 3 && first.sequence == lost.sequence, "{again:?}");
        assert_eq!(again.iter().filter(|(_, sent)| sent.sequence == lost.sequence).count(), 1);
        assert_eq!(host.tcp.stats().fast_recoveries, 1);
    }
}

#[test]
fn an_acknowledgment_of_what_was_never_sent_changes_nothing() {
    // RFC 9293 §3.10.7.4, RFC 5961 §5.
    let mut peer = Peer::new();
    let (mut host, handle) = open(Config::default(), &mut peer);
    host.tcp.send_copy(handle, b"answer");
    host.sent();
    let mut liar = peer.clone();
    liar.expected = liar.expected.wrapping_add(1000);
    assert_eq!(host.feed(&liar.data(b"injected")), None);
    let challenge = host.sent_one();
    assert_eq!((challenge.flags, challenge.acknowledgment), (Flags::ACK, peer.next));
    assert_eq!(host.tcp.in_flight(handle), 6);
}

#[test]
fn a_peer_that_vanishes_is_given_up_and_a_silent_one_asked() {
    // RFC 9293 §3.8.3, §3.8.4.
    let mut peer = Peer::new();
    let (mut host, handle) = open(Config { retries: 3, ..Config::default() }, &mut peer);
    host.tcp.send_copy(handle, b"answer");
    host.sent();
    let events = host.pass(milliseconds(100_000));
    assert_eq!(events.last().unwrap().ended, Some(Ending::TimedOut));
    assert!(host.sink.sent.last().unwrap().has(Flags::RST));

    let idle = milliseconds(10_000);
    let keep_alive = Some(afpa_tcp::KeepAlive { idle, interval: milliseconds(1000), probes: 3 });
    let mut peer = Peer::new();
    let (mut host, _) = open(Config { keep_alive, ..Config::default() }, &mut peer);
    assert_eq!(host.pass(milliseconds(10_500)), []);
    let probe = std::mem::take(&mut host.sink.sent);
    assert_eq!(probe.len(), 1);
    assert_eq!((probe[0].sequence, probe[0].payload.len()), (peer.expected.wrapping_sub(1), 0));
    host.feed(&peer.ack());
    assert_eq!(host.pass(milliseconds(9_000)), []);
    assert_eq!(std::mem::take(&mut host.sink.sent), []);
    let events = host.pass(milliseconds(10_000));
    assert_eq!(events.last().unwrap().ended, Some(Ending::TimedOut));
}

#[test]
fn fin_is_sent_again_until_it_is_acknowledged() {
    let mut peer = Peer::new();
    let (mut host, handle) = open(Config::default(), &mut peer);
    host.tcp.finish(handle);
    let fin = host.sent_one();
    assert!(fin.has(Flags::FIN));
    host.pass(milliseconds(3000));
    let again = std::mem::take(&mut host.sink.sent);
    assert!(!again.is_empty() && again.iter().all(|sent| sent.has(Flags::FIN) && sent.sequence == fin.sequence));
    peer.take(&fin);
    host.feed(&peer.ack());
    assert_eq!(host.tcp.describe(handle).unwrap().state, State::FinWait2);
    // Half-closed: the peer's data still arrives.
    assert_eq!(host.feed(&peer.data(b"more")).unwrap().input, b"more");
}
