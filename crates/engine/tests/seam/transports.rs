//! Datagrams, and several transports in one engine.

use afpa_engine::TransportId;
use afpa_engine::memory::{MemoryConfig, network};

use crate::bench::{Bench, echo};

#[test]
fn a_datagram_is_answered_to_whom_it_came_from() {
    let mut bench = Bench::new(echo);
    let peers = ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()];
    for peer in peers {
        bench.network.send_datagram(bench.owner, peer, format!("from {peer}").as_bytes());
    }
    bench.pass();
    for peer in peers {
        let answer = format!("re: from {peer}").into_bytes();
        assert_eq!(bench.network.receive_datagram(), Some((peer, answer)));
    }
    assert_eq!(bench.network.receive_datagram(), None);
}

#[test]
fn one_engine_serves_several_transports() {
    let mut bench = Bench::new(echo);
    let (memory, second) = network(TransportId(1), MemoryConfig { frame: 4, ..MemoryConfig::default() });
    bench.engine.add_transport(Box::new(memory)).unwrap();
    let (a, b) = (bench.network.connect(bench.owner), second.connect(bench.owner));
    assert_eq!(bench.exchange(&a, b"first"), b"first");
    assert_eq!(bench.exchange(&b, b"second"), b"second");
    assert_eq!(bench.journal(), ["accepted 0.0.1", "accepted 1.0.1"]);
    // The same slot of two transports: the one's end is not the other's.
    a.reset();
    bench.pass();
    assert_eq!(bench.exchange(&b, b"still here"), b"still here");
    assert_eq!(bench.open(), 1);
}

#[test]
fn the_engine_ends_when_every_transport_is_idle() {
    let mut bench = Bench::new(echo);
    let (memory, second) = network(TransportId(1), MemoryConfig::default());
    bench.engine.add_transport(Box::new(memory)).unwrap();
    let peer = second.connect(bench.owner);
    bench.pass();
    bench.engine.handle().stop(std::time::Duration::from_secs(10));
    assert!(bench.engine.pass(false).unwrap());
    peer.finish();
    bench.pass();
    bench.pass();
    assert!(!bench.engine.pass(false).unwrap());
}
