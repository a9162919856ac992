//! The steady state allocates nothing: neither requests on a persistent connection nor connections with a request each.

mod support;

use std::rc::Rc;

use afpa_platform::testing::CountingAllocator;
use afpa_tcp::{Config, Integrity, Packet, Sink, Tcp, Time};
use afpa_wire::tcp::Flags;
use support::{Host, Peer, pinned};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const ROUNDS: usize = 200;
/// Rounds after which pools and tables have their size.
const WARM: usize = 120;

/// Counts what is sent.
struct Counter(usize);

impl Sink<Rc<[u8]>> for Counter {
    fn max_payload(&self) -> usize {
        0
    }

    fn transmit(&mut self, packet: Packet<'_, Rc<[u8]>>) -> bool {
        self.0 += packet.headers.len();
        true
    }
}

/// Replays packets, and answers each request with a head and a pinned body.
fn replay(tcp: &mut Tcp<Rc<[u8]>>, now: Time, packets: &[Vec<u8>], body: &Rc<[u8]>, closes: bool) -> u64 {
    let before = CountingAllocator::allocations();
    let mut counter = Counter(0);
    while tcp.expire(now).is_some() {}
    for packet in packets {
        if let Some(arrival) = tcp.process(now, packet, Integrity::Verify)
            && arrival.input != afpa_tcp::Input::None
        {
            tcp.send_copy(arrival.handle, b"HTTP/1.1 200 OK\r\n\r\n");
            tcp.send_pinned(arrival.handle, body.clone());
            if closes {
                tcp.close(arrival.handle);
            }
        }
        assert!(tcp.dispatch(now, &mut counter));
    }
    CountingAllocator::allocations() - before
}

#[test]
fn a_request_on_a_persistent_connection_allocates_nothing() {
    let (mut host, mut peer, body) = (Host::new(Config::default()), Peer::new(), pinned(1024));
    peer.connect(&mut host);
    for round in 0..ROUNDS {
        let request = peer.data(b"GET / HTTP/1.1\r\n\r\n");
        // 19 octets of head.
        peer.expected = peer.expected.wrapping_add(19 + 1024);
        let acknowledgment = peer.ack();
        let now = Time(host.now.0 + round as u64 * 1_000_000);
        let count = replay(&mut host.tcp, now, &[request, acknowledgment], &body, false);
        assert!(round < WARM || count == 0, "{count} allocations in round {round}");
    }
    assert_eq!(host.tcp.stats().octets_sent, (ROUNDS * (19 + 1024)) as u64);
    assert_eq!(host.tcp.stats().retransmitted_segments, 0);
}

#[test]
fn a_connection_with_one_request_allocates_nothing() {
    let (mut host, body) = (Host::new(Config { time_wait_entries: 64, ..Config::default() }), pinned(1024));
    for round in 0..ROUNDS {
        let mut peer = Peer::new().at_port(10_000 + round as u16);
        host.now = host.now.after(support::milliseconds(20));
        // The cookie is learnt from a first SYN, which the peer sends again.
        host.feed(&peer.syn());
        let synchronized = host.sent_one();
        let syn = peer.syn();
        peer.next = peer.next.wrapping_add(1);
        peer.take(&synchronized);
        let acknowledgment = peer.ack();
        let request = peer.data(b"GET / HTTP/1.1\r\n\r\n");
        peer.expected = peer.expected.wrapping_add(19 + 1024 + 1);
        let end = peer.segment(Flags::ACK | Flags::FIN, &[]);
        let packets = [syn, acknowledgment, request, end];
        let count = replay(&mut host.tcp, host.now, &packets, &body, true);
        assert!(round < WARM || count == 0, "{count} allocations in round {round}");
        assert_eq!(host.tcp.connections(), 0);
    }
    assert_eq!(host.tcp.stats().closed, ROUNDS as u64);
}
