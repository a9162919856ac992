//! Connections that others have made, and sockets that others have prepared, on both interfaces.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use afpa_engine::seam::{Address, Disconnect, Origin, Segment};
use afpa_engine::{Owner, Transport};
use afpa_sockets::Interface;
use common::*;
use rustix::net::sockopt::{set_tcp_nodelay, tcp_nodelay};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

on_both_interfaces! {
    fn a_connection_that_is_taken_over_shows_what_was_read_from_it_first(interface) {
        // Nothing is consumed before the end of a line.
        let mut harness = Harness::new(interface, |calls, event| match event {
            Event::Received(id, bytes) if bytes.ends_with(b"\n") => {
                calls.send(*id, Segment::Copy(bytes));
                bytes.len()
            }
            Event::Disconnected(id, Disconnect::Finished) => {
                calls.close(*id);
                0
            }
            _ => 0,
        });
        let (mut client, theirs) = pair();
        let id = harness.calls().take_over(theirs, Owner(7), b"what was read, ".to_vec()).expect("a place");
        harness.until("its octets", |log| log.contains(&Event::Received(id, b"what was read, ".to_vec())));
        assert_eq!(harness.script.log[0], Event::Connected(id, Origin::Connected));
        client.write_all(b"and what comes").expect("a connection");
        let all = b"what was read, and what comes";
        harness.until("all octets", |log| log.contains(&Event::Received(id, all.to_vec())));
        let client = thread::spawn(move || {
            client.write_all(b"\n").expect("a connection");
            client.shutdown(Shutdown::Write).expect("a connection");
            read_all(client)
        });
        assert_eq!(harness.serve(client), [&all[..], b"\n"].concat());
        harness.until("the end", |log| ending(log, id).is_some());
        assert_eq!((harness.ending(id), harness.sockets.connections()), (Some(Disconnect::Closed), 0));
    }

    fn a_connection_without_octets_and_one_that_has_ended_are_taken_over_too(interface) {
        let mut harness = Harness::new(interface, echo);
        let (client, theirs) = pair();
        let id = harness.calls().take_over(theirs, Owner(7), Vec::new()).expect("a place");
        // What is sent before `connected` waits for it.
        harness.calls().send(id, Segment::Copy(b"welcome"));
        harness.calls().finish(id);
        assert_eq!(harness.serve(thread::spawn(move || read_all(client))), b"welcome");

        let (mut client, theirs) = pair();
        client.write_all(b" then this").expect("a connection");
        client.shutdown(Shutdown::Write).expect("a connection");
        harness.calls().take_over(theirs, Owner(7), b"first".to_vec()).expect("a place");
        assert_eq!(harness.serve(thread::spawn(move || read_all(client))), b"first then this");

        let (client, theirs) = pair();
        let id = harness.calls().take_over(theirs, Owner(7), Vec::new()).expect("a place");
        harness.calls().close(id);
        assert_eq!(harness.serve(thread::spawn(move || read_all(client))), b"");
        harness.until("the ends", |log| ending(log, id).is_some());
    }

    fn what_one_transport_releases_another_takes_over(interface) {
        let mut first = Harness::new(interface, |calls, event| {
            if let Event::Received(id, bytes) = event {
                assert!(bytes.is_empty() || calls.release(*id));
            }
            0
        });
        let mut second = Harness::new(interface, echo);
        let (mut client, id) = first.client();
        client.write_all(b"hello").expect("a connection");
        first.until("the connection", |log| log.contains(&Event::Released(id, b"hello".to_vec())));
        let (_, socket) = first.script.released.pop().expect("a socket");
        second.calls().take_over(socket, Owner(7), b"hello".to_vec()).expect("a place");
        let client = thread::spawn(move || {
            client.write_all(b", world").expect("a connection");
            client.shutdown(Shutdown::Write).expect("a connection");
            read_all(client)
        });
        assert_eq!(second.serve(client), b"hello, world");
    }

    fn only_connected_streams_are_taken_over_and_only_as_many_as_there_is_room_for(interface) {
        let mut config = common::config(interface);
        config.max_connections = 1;
        let mut harness = Harness::with(config, echo);
        let unsuitable: [OwnedFd; 3] = [
            UdpSocket::bind("127.0.0.1:0").expect("a port").into(),
            TcpListener::bind("127.0.0.1:0").expect("a port").into(),
            socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket"),
        ];
        for socket in unsuitable {
            harness.calls().take_over(socket, Owner(7), Vec::new()).expect_err("no connection");
        }
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        harness.calls().take_over(theirs.into(), Owner(7), Vec::new()).expect("a place");
        harness.calls().take_over(ours.into(), Owner(7), Vec::new()).expect_err("the limit");
    }

    fn a_socket_that_was_bound_connects_from_where_it_is(interface) {
        let mut harness = Harness::new(interface, swallow);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = Address::Inet(listener.local_addr().expect("an address"));
        let (socket, from) = bound();
        set_tcp_nodelay(&socket, true).expect("a socket");
        let theirs = socket.try_clone().expect("a descriptor");
        let id = harness.calls().connect_with(socket, &to, Owner(7)).expect("a place");
        harness.until("the connection", |log| log.contains(&Event::Connected(id, Origin::Connected)));
        let (mut peer, address) = listener.accept().expect("a connection");
        assert_eq!((address, harness.calls().local(id)), (from, Some(Address::Inet(from))));
        assert!(tcp_nodelay(&theirs).expect("a socket"));
        peer.write_all(b"hello").expect("a connection");
        harness.until("input", |log| log.contains(&Event::Received(id, b"hello".to_vec())));
        harness.calls().send(id, Segment::Copy(b"bye"));
        harness.calls().close(id);
        let peer = thread::spawn(move || {
            let mut octets = [0; 3];
            peer.read_exact(&mut octets).expect("octets");
            octets
        });
        assert_eq!(&harness.serve(peer), b"bye");
    }

    fn whoever_cannot_connect_learns_why(interface) {
        let mut harness = Harness::new(interface, echo);
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        // Nobody can have a connection to a broadcast address.
        let broadcast = SocketAddr::from(([127, 255, 255, 255], 9));
        for (to, reason) in [(free, Disconnect::Refused), (broadcast, Disconnect::Unreachable)] {
            harness.script.log.clear();
            let own = harness.calls().connect(&Address::Inet(to), Owner(7)).expect("a socket");
            let given = harness.calls().connect_with(bound().0, &Address::Inet(to), Owner(7)).expect("a place");
            harness.until("the answers", |log| ending(log, own).is_some() && ending(log, given).is_some());
            assert_eq!((harness.ending(own), harness.ending(given)), (Some(reason), Some(reason)), "{to}");
        }
        let connected = pair().1;
        let to = Address::Inet(free);
        harness.calls().connect_with(connected, &to, Owner(7)).expect_err("it is connected");
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
        harness.calls().connect_with(datagrams.into(), &to, Owner(7)).expect_err("no stream");
        harness.calls().connect_with(bound().0, &Address::Unix("/".into()), Owner(7)).expect_err("another family");
        assert_eq!(harness.sockets.connections(), 0);
    }
}

/// Both ends of a connection; the second is what was accepted.
fn pair() -> (TcpStream, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    (client, listener.accept().expect("a connection").0.into())
}

/// A socket that is bound to a free port, and where that is.
fn bound() -> (OwnedFd, SocketAddr) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = getsockname(&socket).expect("an address").try_into().expect("an address");
    (socket, address)
}
