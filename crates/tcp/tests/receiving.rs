//! What a connection receives: order, windows, memory.

mod support;

use afpa_tcp::{Config, Ending};
use afpa_wire::tcp::Flags;
use support::{Host, Peer, milliseconds};

#[test]
fn segments_in_any_order_become_the_stream() {
    // RFC 9293 §3.10.7.4, seventh check; RFC 2018.
    let text: Vec<u8> = (0..3000u32).map(|octet| (octet % 251) as u8).collect();
    let parts: Vec<(usize, usize)> = vec![(0, 500), (500, 1200), (1000, 1700), (1700, 2400), (2300, 3000)];
    for order in [[4, 3, 2, 1, 0], [1, 0, 2, 4, 3], [0, 1, 2, 3, 4], [2, 4, 0, 3, 1]] {
        let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
        peer.connect(&mut host);
        let mut received = Vec::new();
        for index in order {
            let (from, to) = parts[index];
            if let Some(event) = host.feed(&peer.data_at(from as i32, &text[from..to])) {
                received.extend(event.input);
            }
            host.sent();
        }
        assert_eq!(received, text, "{order:?}");
    }
}

#[test]
fn a_gap_is_reported_and_so_is_what_comes_twice() {
    // RFC 2018 §4, RFC 2883 §4.
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    peer.connect(&mut host);
    host.feed(&peer.data_at(100, &[1; 50]));
    let first = host.sent_one();
    assert_eq!(first.acknowledgment, peer.next);
    let at = |offset: u32| peer.next.wrapping_add(offset);
    assert_eq!(first.options.sack.as_slice(), [(at(100), at(150))]);
    host.feed(&peer.data_at(300, &[1; 50]));
    assert_eq!(host.sent_one().options.sack.as_slice(), [(at(300), at(350)), (at(100), at(150))]);
    host.feed(&peer.data_at(100, &[1; 50]));
    assert_eq!(host.sent_one().options.sack.as_slice()[0], (at(100), at(150)));
    host.feed(&peer.data_at(0, &[1; 100]));
    assert_eq!(host.sent_one().acknowledgment, at(150));
}

#[test]
fn what_is_not_consumed_closes_the_window_and_consuming_opens_it() {
    // RFC 9293 §3.8.6.2.2.
    let (mut host, mut peer) = (Host::new(Config { receive_window: 8192, ..Config::default() }), Peer::new());
    let handle = peer.connect(&mut host);
    host.appetite = 0;
    let mut window = 8192;
    while window > 0 {
        let payload = vec![1; window.min(1000)];
        host.feed(&peer.data(&payload)).unwrap();
        host.pass(milliseconds(50));
        window = usize::from(std::mem::take(&mut host.sink.sent).last().unwrap().window);
    }
    assert_eq!(host.tcp.describe(handle).unwrap().unread, 8192);
    // A probe is answered, and its octet is not taken.
    assert_eq!(host.feed(&peer.data_at(0, b"x")), None);
    assert_eq!(host.sent_one().window, 0);
    // A little room is not worth a word; half of the window is.
    host.appetite = 100;
    assert_eq!(host.read(handle).len(), 100);
    assert_eq!(host.sent(), []);
    host.appetite = 5000;
    host.read(handle);
    let update = host.sent_one();
    assert!(update.window >= 4096, "{update:?}");
    host.appetite = usize::MAX;
    host.read(handle);
    assert_eq!(host.feed(&peer.data(b"again")).unwrap().input, b"again");
}

#[test]
fn memory_for_input_is_bounded_over_all_connections() {
    let config = Config { receive_memory: 40_000, receive_window: 20_000, ..Config::default() };
    let mut host = Host::new(config);
    host.appetite = 0;
    let mut peers: Vec<_> = (0..10).map(|number| Peer::new().at_port(5000 + number)).collect();
    let handles: Vec<_> = peers.iter_mut().map(|peer| peer.connect(&mut host)).collect();
    for _ in 0..20 {
        for peer in &mut peers {
            let before = peer.clone();
            host.feed(&peer.data(&[1; 1000]));
            let sent = host.sent();
            if sent.iter().any(|sent| sent.acknowledgment == before.next && sent.destination == before.local) {
                *peer = before;
            }
        }
    }
    let unread: u32 = handles.iter().map(|handle| host.tcp.describe(*handle).unwrap().unread).sum();
    assert!(unread <= 40_000, "{unread}");
    assert!(host.tcp.stats().receive_memory_exhausted > 0);
    // Nothing that was acknowledged is lost, and room is made by reading.
    host.appetite = usize::MAX;
    for handle in &handles {
        host.read(*handle);
    }
    host.sent();
    for peer in &mut peers {
        let retained = host.feed(&peer.data(&[2; 1000])).map(|event| event.input.len());
        assert!(retained.is_none_or(|len| len == 1000));
    }
}

#[test]
fn what_comes_after_close_is_dropped_and_acknowledged() {
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    let handle = peer.connect(&mut host);
    host.tcp.send_copy(handle, b"bye");
    host.tcp.close(handle);
    let fin = host.sent_one();
    peer.take(&fin);
    assert_eq!(host.feed(&peer.data(&[0; 1000])).map(|event| event.input), Some(Vec::new()));
    host.feed(&peer.data(&[0; 1448]));
    host.pass(milliseconds(50));
    assert_eq!(std::mem::take(&mut host.sink.sent).last().unwrap().acknowledgment, peer.next);
    // For a while only.
    let events = host.pass(milliseconds(3000));
    assert_eq!(events.last().unwrap().ended, Some(Ending::Closed));
    assert_eq!(host.tcp.connections(), 0);
}

#[test]
fn fin_out_of_order_waits_for_what_is_before_it() {
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    peer.connect(&mut host);
    let fin = peer.build(peer.next.wrapping_add(5), Flags::ACK | Flags::FIN, peer.options(), b"world");
    assert_eq!(host.feed(&fin), None);
    let event = host.feed(&peer.data(b"hello")).unwrap();
    assert!(event.finished && event.input == b"helloworld", "{event:?}");
    assert_eq!(host.sent_one().acknowledgment, peer.next.wrapping_add(6));
}

#[test]
fn an_urgent_pointer_is_ignored() {
    // RFC 6093 §6.
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    peer.connect(&mut host);
    let urgent = peer.segment(Flags::ACK | Flags::URG, b"in line");
    assert_eq!(host.feed(&urgent).unwrap().input, b"in line");
}

#[test]
fn an_old_timestamp_is_not_believed() {
    // RFC 7323 §5.
    let (mut host, mut peer) = (Host::new(Config::default()), Peer::new());
    peer.connect(&mut host);
    peer.clock = Some(6000);
    host.feed(&peer.data(b"new"));
    host.pass(milliseconds(50));
    host.sink.sent.clear();
    peer.clock = Some(5999);
    assert_eq!(host.feed(&peer.data_at(0, b"old")), None);
    assert_eq!(host.tcp.stats().paws_dropped, 1);
    assert_eq!(host.sent_one().acknowledgment, peer.next);
    // And one without a timestamp is dropped.
    let without = peer.build(peer.next, Flags::ACK, afpa_wire::tcp::Options::NONE, b"none");
    assert_eq!(host.feed(&without), None);
    assert_eq!(host.sent(), []);
}
