//! Listeners that come and go while a transport runs, on sockets that others have bound, on both interfaces.

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use afpa_engine::seam::{Address, Calls, Disconnect, Events, Listen, ListenerId, Origin, Segment};
use afpa_engine::{ConnectionId, Owner, Time, Transport, TransportId};
use afpa_platform::clock;
use afpa_sockets::{Interface, Sockets};
use common::on_both_interfaces;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

on_both_interfaces! {
    fn a_socket_that_is_only_bound_is_listened_to(interface) {
        let mut stage = Stage::new(interface);
        let (bound, address) = bound();
        TcpStream::connect(address).expect_err("nobody listens yet");
        let kept = bound.try_clone().expect("a descriptor");
        let listener = stage.sockets.adopt(bound, Owner(3), 5).expect("a listener");
        let mut client = TcpStream::connect(address).expect("a connection");
        stage.until(|log| log.accepted.len() == 1);
        let (id, owner, name, local) = stage.log.accepted[0].clone();
        assert_eq!((owner, name, local), (Owner(3), listener, Some(Address::Inet(address))));
        client.write_all(b"hello").expect("a connection");
        stage.until(|log| log.octets == 5);
        stage.settle();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"hello");
        assert_eq!(stage.sockets.calls().local(id), Some(Address::Inet(address)));
        // Whoever bound it has it as well, and goes on when the transport does not.
        stage.sockets.unlisten(listener).expect("a listener");
        stage.settle();
        let others = TcpListener::from(kept);
        others.set_nonblocking(true).expect("a socket");
        let _client = TcpStream::connect(address).expect("a backlog");
        stage.settle();
        others.accept().expect("a connection");
    }

    fn one_listener_ends_and_all_else_goes_on(interface) {
        let mut stage = Stage::new(interface);
        let ((first, at_first), (second, at_second)) = (adopted(&mut stage, 1), adopted(&mut stage, 2));
        let mut client = TcpStream::connect(at_first).expect("a connection");
        stage.until(|log| log.accepted.len() == 1);
        stage.sockets.unlisten(first).expect("a listener");
        assert!(stage.sockets.local_address(first).is_err());
        stage.sockets.unlisten(first).expect_err("it has ended");
        stage.settle();
        TcpStream::connect(at_first).expect_err("nobody listens any more");
        client.write_all(b"still here").expect("a connection");
        stage.until(|log| log.octets == 10);
        let _other = TcpStream::connect(at_second).expect("a connection");
        stage.until(|log| log.accepted.len() == 2);
        assert_eq!((stage.log.accepted[1].1, stage.log.accepted[1].2), (Owner(2), second));
        assert_eq!(stage.log.ended, 0);
    }

    fn what_was_accepted_for_a_listener_is_never_another_s(interface) {
        let mut stage = Stage::new(interface);
        let mut names = HashSet::new();
        let mut expected = Vec::new();
        let mut clients = Vec::new();
        for round in 0..20u8 {
            let (old, at_old) = adopted(&mut stage, round * 2);
            stage.settle();
            clients.push(TcpStream::connect(at_old).expect("a connection"));
            expected.push((at_old, Owner(round * 2)));
            // It may be accepted by now, or not; and no pass comes in between.
            stage.sockets.unlisten(old).expect("a listener");
            let (new, at_new) = adopted(&mut stage, round * 2 + 1);
            clients.push(TcpStream::connect(at_new).expect("a connection"));
            expected.push((at_new, Owner(round * 2 + 1)));
            let before = stage.log.accepted.len();
            stage.until(|log| log.accepted[before..].iter().any(|(_, _, name, _)| *name == new));
            names.extend([old.index, new.index]);
            stage.sockets.unlisten(new).expect("a listener");
            stage.settle();
        }
        for (_, owner, _, local) in &stage.log.accepted {
            let Some(Address::Inet(local)) = local else { panic!("a connection without a port") };
            assert!(expected.contains(&(*local, *owner)), "{owner:?} has got a connection to {local}");
        }
        assert!(names.len() <= 4, "places are used again: {names:?}");
        assert_eq!(stage.sockets.connections(), stage.log.accepted.len());
    }

    fn a_listener_that_waits_for_a_slot_keeps_its_name(interface) {
        let mut stage = Stage::with(interface, 1);
        let (old, at_old) = adopted(&mut stage, 1);
        let mut clients: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(at_old).expect("a backlog")).collect();
        stage.until(|log| log.accepted.len() == 1);
        stage.settle();
        stage.sockets.unlisten(old).expect("a listener");
        let (new, _) = adopted(&mut stage, 2);
        clients.clear();
        stage.until(|log| log.ended == log.accepted.len());
        stage.settle();
        assert!(stage.log.accepted.iter().all(|(_, owner, name, _)| (*owner, *name) == (Owner(1), old)));
        stage.sockets.unlisten(new).expect("a listener");
    }

    fn what_is_no_stream_listener_of_the_transport_does_not_end(interface) {
        let mut stage = Stage::new(interface);
        let datagrams = stage.sockets.listen(Listen::Datagram("127.0.0.1:0".parse().unwrap()), Owner(1)).expect("a port");
        for listener in [
            datagrams,
            ListenerId { transport: TransportId(0), index: 9 },
            ListenerId { transport: TransportId(1), index: 0 },
        ] {
            stage.sockets.unlisten(listener).expect_err("not a stream's");
        }
        assert!(stage.sockets.local_address(datagrams).is_ok());
    }
}

struct Stage {
    sockets: Sockets,
    log: Log,
}

/// Echoes, and takes note of what is accepted for whom.
#[derive(Default)]
struct Log {
    accepted: Vec<(ConnectionId, Owner, ListenerId, Option<Address>)>,
    octets: usize,
    ended: usize,
}

impl Stage {
    fn new(interface: Interface) -> Stage {
        Stage::with(interface, 1000)
    }

    fn with(interface: Interface, max_connections: u32) -> Stage {
        let mut config = common::config(interface);
        config.max_connections = max_connections;
        Stage { sockets: Sockets::new(config).expect("a transport"), log: Log::default() }
    }

    fn pass(&mut self) {
        self.sockets.poll(Time(clock::now()), Some(Duration::from_millis(2)), &mut self.log).expect("an interface");
    }

    fn settle(&mut self) {
        (0..5).for_each(|_| self.pass());
    }

    fn until(&mut self, holds: impl Fn(&Log) -> bool) {
        let start = Instant::now();
        while !holds(&self.log) {
            assert!(start.elapsed() < Duration::from_secs(20), "it did not come: {:?}", self.log.accepted);
            self.pass();
        }
    }
}

impl Events for Log {
    fn connected(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, origin: Origin) {
        let Origin::Accepted(listener) = origin else { panic!("nobody opens anything") };
        self.accepted.push((id, owner, listener, calls.local(id)));
    }

    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, _: Owner, bytes: &[u8]) -> usize {
        calls.send(id, Segment::Copy(bytes));
        self.octets += bytes.len();
        bytes.len()
    }

    fn disconnected(&mut self, calls: &mut dyn Calls, id: ConnectionId, _: Owner, reason: Disconnect) {
        match reason {
            Disconnect::Finished => calls.close(id),
            _ => self.ended += 1,
        }
    }

    fn sent(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: u64) {}
    fn datagram(&mut self, _: &mut dyn Calls, _: ListenerId, _: Owner, _: SocketAddr, _: &[u8]) {}
}

/// A socket that is bound to a free port and does not listen.
fn bound() -> (OwnedFd, SocketAddr) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = getsockname(socket.as_fd()).expect("an address").try_into().expect("an address");
    (socket, address)
}

/// A listener of `owner`, and where it is.
fn adopted(stage: &mut Stage, owner: u8) -> (ListenerId, SocketAddr) {
    let (socket, address) = bound();
    (stage.sockets.adopt(socket, Owner(owner), 64).expect("a listener"), address)
}
