//! Datagrams, and several transports in one engine.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use afpa_engine::memory::{Memory, MemoryConfig, network};
use afpa_engine::seam::{Calls, Events};
use afpa_engine::{Time, Transport, TransportId};

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

/// A transport that is due when a test says so, and counts how often it was polled.
struct Counted {
    memory: Memory,
    due: Rc<Cell<bool>>,
    polls: Rc<Cell<u32>>,
}

impl Transport for Counted {
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        self.polls.set(self.polls.get() + 1);
        self.due.set(false);
        self.memory.poll(now, wait, events)
    }

    fn calls(&mut self) -> &mut dyn Calls {
        self.memory.calls()
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.memory.watch(descriptor)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn is_due(&mut self, _: Time) -> Option<bool> {
        Some(self.due.get())
    }

    fn stop_listening(&mut self) {}

    fn connections(&self) -> usize {
        self.memory.connections()
    }
}

#[test]
fn a_second_transport_is_polled_when_it_is_due() {
    let mut bench = Bench::new(echo);
    let (memory, second) = network(TransportId(1), MemoryConfig::default());
    let (due, polls) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    bench.engine.add_transport(Box::new(Counted { memory, due: due.clone(), polls: polls.clone() })).unwrap();
    let peer = second.connect(bench.owner);
    peer.send(b"hello");
    bench.pass();
    assert_eq!((polls.get(), peer.read(100)), (0, vec![]), "nobody said that it has anything");
    due.set(true);
    bench.engine.pass(true).unwrap();
    assert_eq!((polls.get(), peer.read(100)), (1, b"hello".to_vec()));
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
