//! The hit path allocates nothing, on both interfaces.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use afpa_cache::ResidentBody;
use afpa_engine::seam::{Address, Calls, Disconnect, Events, Listen, ListenerId, Origin, Segment};
use afpa_engine::{ConnectionId, Owner, Time, Transport};
use afpa_platform::clock;
use afpa_platform::testing::CountingAllocator;
use afpa_sockets::{Interface, Sockets};
use common::{config, on_both_interfaces, pattern, pinned, read_all, send_body};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

on_both_interfaces! {
    fn an_exchange_allocates_nothing(interface) {
        for length in [1000, 20_000, 64 * 1024] {
            let mut server = Server::new(interface, length, false);
            let mut stream = TcpStream::connect(server.address).expect("a connection");
            (0..3).for_each(|_| server.exchange(&mut stream));
            let before = CountingAllocator::allocations();
            (0..100).for_each(|_| server.exchange(&mut stream));
            assert_eq!(CountingAllocator::allocations() - before, 0, "with {length} octets");
        }
    }

    fn a_connection_for_one_exchange_allocates_nothing(interface) {
        let mut server = Server::new(interface, 1000, true);
        (0..10).for_each(|_| _ = server.converse());
        assert_eq!((0..50).map(|_| server.converse()).sum::<u64>(), 0);
    }

    fn a_datagram_s_answer_allocates_nothing(interface) {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let mut forwarder = Forwarder::new(interface, address, false);
            (0..3).for_each(|_| forwarder.exchange());
            let before = CountingAllocator::allocations();
            (0..100).for_each(|_| forwarder.exchange());
            assert_eq!(CountingAllocator::allocations() - before, 0, "on {address}");
        }
    }

    fn a_conversation_allocates_nothing(interface) {
        let mut forwarder = Forwarder::new(interface, "127.0.0.1:0", true);
        (0..10).for_each(|_| forwarder.exchange());
        let before = CountingAllocator::allocations();
        (0..100).for_each(|_| forwarder.exchange());
        assert_eq!(CountingAllocator::allocations() - before, 0);
    }
}

/// Answers datagrams itself, or has them answered by another server, in a conversation each.
struct Forwarder {
    sockets: Sockets,
    client: UdpSocket,
    upstream: UdpSocket,
    forward: Forward,
}

struct Forward {
    ask: Option<SocketAddr>,
    asking: Option<(ListenerId, SocketAddr)>,
}

impl Forwarder {
    fn new(interface: Interface, address: &str, forwards: bool) -> Forwarder {
        let mut sockets = Sockets::new(config(interface)).expect("a transport");
        let port = Listen::Datagram(address.parse().expect("an address"));
        let listener = sockets.listen(port, Owner(0)).expect("a free port");
        let Ok(Address::Inet(address)) = sockets.local_address(listener) else { panic!("no local address") };
        let socket = || UdpSocket::bind("127.0.0.1:0").expect("a port");
        let (client, upstream) = (socket(), socket());
        client.connect(("127.0.0.1", address.port())).expect("a way");
        client.set_nonblocking(true).expect("a socket");
        upstream.set_nonblocking(true).expect("a socket");
        let ask = upstream.local_addr().ok().filter(|_| forwards);
        Forwarder { sockets, client, upstream, forward: Forward { ask, asking: None } }
    }

    fn exchange(&mut self) {
        self.client.send(b"question").expect("a socket");
        let mut octets = [0; 100];
        while self.client.recv(&mut octets).is_err() {
            let wait = Some(Duration::from_millis(5));
            self.sockets.poll(Time(clock::now()), wait, &mut self.forward).expect("a working interface");
            if let Ok((length, from)) = self.upstream.recv_from(&mut octets) {
                self.upstream.send_to(&octets[..length], from).expect("a socket");
            }
        }
        assert!(octets.starts_with(b"question"));
    }
}

impl Events for Forward {
    fn datagram(&mut self, calls: &mut dyn Calls, socket: ListenerId, _: Owner, peer: SocketAddr, bytes: &[u8]) {
        let Some(to) = self.ask else {
            return calls.send_datagram(socket, peer, &mut [Segment::Copy(bytes)].into_iter());
        };
        self.asking = Some((socket, peer));
        let id = calls.converse(to, Owner(0)).expect("a conversation");
        calls.send(id, Segment::Copy(bytes));
    }

    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, bytes: &[u8]) -> usize {
        let (socket, peer) = self.asking.take().expect("a question");
        calls.send_datagram(socket, peer, &mut [Segment::Copy(bytes)].into_iter());
        calls.close(id);
        bytes.len()
    }

    fn connected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Origin) {}
    fn sent(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: u64) {}
    fn disconnected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Disconnect) {}
}

struct Server {
    sockets: Sockets,
    address: SocketAddr,
    answer: Answer,
}

impl Server {
    fn new(interface: Interface, length: usize, close: bool) -> Server {
        let mut sockets = Sockets::new(config(interface)).expect("a transport");
        let any_port = Listen::Stream(Address::Inet("127.0.0.1:0".parse().expect("an address")));
        let listener = sockets.listen(any_port, Owner(0)).expect("a free port");
        let Ok(Address::Inet(address)) = sockets.local_address(listener) else { panic!("no local address") };
        Server { sockets, address, answer: Answer { body: pinned(&pattern(length)), close } }
    }

    fn pass(&mut self) {
        let wait = Some(Duration::from_millis(5));
        self.sockets.poll(Time(clock::now()), wait, &mut self.answer).expect("a working interface");
    }

    /// One request and its answer on a connection that stays.
    fn exchange(&mut self, stream: &mut TcpStream) {
        stream.set_nonblocking(true).expect("a socket");
        stream.write_all(b"x").expect("a connection");
        let mut octets = [0; 16 * 1024];
        let mut missing = 10 + self.answer.body.len() as usize;
        while missing > 0 {
            self.pass();
            missing -= stream.read(&mut octets).unwrap_or(0);
        }
    }

    /// One request and its answer on a connection of its own. Returns the server's allocations.
    fn converse(&mut self) -> u64 {
        let address = self.address;
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(b"x").expect("a connection");
            assert_eq!(read_all(stream).len(), 1010);
        });
        let before = CountingAllocator::allocations();
        while !client.is_finished() || self.sockets.connections() > 0 {
            self.pass();
        }
        let allocations = CountingAllocator::allocations() - before;
        client.join().expect("a client without complaints");
        allocations
    }
}

struct Answer {
    body: Rc<ResidentBody>,
    close: bool,
}

impl Events for Answer {
    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, bytes: &[u8]) -> usize {
        calls.send(id, Segment::Copy(&[b'h'; 10]));
        send_body(calls, id, &self.body, self.body.len());
        if self.close {
            calls.close(id);
        }
        bytes.len()
    }

    fn disconnected(&mut self, calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, reason: Disconnect) {
        if reason == Disconnect::Finished {
            calls.close(id);
        }
    }

    fn connected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Origin) {}
    fn sent(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: u64) {}
    fn datagram(&mut self, _: &mut dyn Calls, _: ListenerId, _: Owner, _: SocketAddr, _: &[u8]) {}
}
