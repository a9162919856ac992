//! Applications that send by themselves, on the kernel's sockets, while the server receives.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use afpa_channel::control::{self, Reply, Request, Sender};
use afpa_channel::handing;
use afpa_channel::slot::{command, state};
use rustix::io::ioctl_fionbio;
use rustix::net::{AddressFamily, SocketType, socket};

use crate::common::{App, pattern};
use crate::{Server, is_answered, listen, listen_with, on_each_with, until};

/// Where the sockets of these listeners' connections come.
fn incoming(app: &App, listeners: &[u32]) -> Vec<OwnedFd> {
    let end = |slot: &u32| {
        let asked = control::ask(app.control.as_fd(), &Request::Incoming { slot: *slot }, &[]).unwrap();
        let (Reply::Incoming, mut descriptors) = asked else { panic!("{asked:?}") };
        descriptors.pop().unwrap()
    };
    listeners.iter().map(end).collect()
}

/// The next connection: its slot, and its socket.
fn accept(app: &App, listeners: &[u32], incoming: &[OwnedFd]) -> (u32, TcpStream) {
    let mut accepted = None;
    until("a connection waits", || {
        let mut each = listeners.iter().zip(incoming);
        accepted = each.find_map(|(listener, end)| Some((app.accept_entry(*listener)?, end)));
        accepted.is_some()
    });
    let (entry, end) = accepted.unwrap();
    (entry.slot, handing::take(end.as_fd(), entry, true).unwrap().into())
}

fn until_asleep(server: &Server) {
    until("all engines sleep", || server.ports.iter().all(|port| port.stats.sleeping.get() == 1));
}

#[test]
fn what_the_application_sends_leaves_at_once_and_what_comes_is_received_in_whatever_mode() {
    on_each_with(Sender::Application, |server| {
        let app = server.attach();
        let (listeners, address) = listen(&app);
        let incoming = incoming(&app, &listeners);
        for modes in [[false, false], [true, true], [true, false]] {
            let mut client = TcpStream::connect(address).unwrap();
            let (slot, mut own) = accept(&app, &listeners, &incoming);
            assert_eq!(own.peer_addr().unwrap(), client.local_addr().unwrap());
            for (round, is_nonblocking) in modes.into_iter().cycle().take(6).enumerate() {
                ioctl_fionbio(&own, is_nonblocking).unwrap();
                // More than the ring holds: receiving ends and begins again.
                let octets = pattern(200_000 + round);
                let mut writer = client.try_clone().unwrap();
                let sent = octets.clone();
                let writer = std::thread::spawn(move || writer.write_all(&sent).unwrap());
                let mut received = Vec::new();
                until("everything has come", || {
                    received.extend(app.take(slot, 1 << 20));
                    received.len() == octets.len()
                });
                writer.join().unwrap();
                assert!(received == octets);
                own.write_all(b"received").unwrap();
                client.read_exact(&mut [0; 8]).unwrap();
                // A mode in which a receive does not wait keeps nobody busy.
                until_asleep(server);
            }
            own.write_all(b"the end").unwrap();
            app.region.holds(app.place).release(slot);
            app.command(slot, command::CLOSE);
            drop(own);
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"the end");
        }
    });
}

#[test]
fn a_connection_that_is_given_up_ends_although_others_have_its_socket() {
    on_each_with(Sender::Application, |server| {
        let app = server.attach();
        let (_socket, listeners, address) = listen_with(&app);
        let incoming = incoming(&app, &listeners);
        let connect = || {
            let client = TcpStream::connect(address).unwrap();
            (client, accept(&app, &listeners, &incoming))
        };
        // Closed, with everything read, with something unread, by a reset; the application keeps the socket each time.
        let (mut finished, (slot, _kept)) = connect();
        app.region.holds(app.place).release(slot);
        app.command(slot, command::CLOSE);
        assert_eq!(finished.read(&mut [0; 8]).unwrap(), 0);
        let (mut unread, (slot, _kept_too)) = connect();
        unread.write_all(b"nobody reads this").unwrap();
        until("it has arrived", || app.slot(slot).receive_ring().readable(0) == Ok(17));
        app.command(slot, command::CLOSE);
        assert_eq!(unread.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let (mut aborted, (slot, _kept_as_well)) = connect();
        app.command(slot, command::CLOSE | command::ABORT);
        assert_eq!(aborted.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        // One that nobody has accepted when the listener is closed.
        let mut waiting = TcpStream::connect(address).unwrap();
        until("it waits", || {
            listeners
                .iter()
                .any(|listener| app.slot(*listener).receive_ring().readable(app.slot(*listener).taken()) == Ok(8))
        });
        listeners.iter().for_each(|listener| app.command(*listener, command::CLOSE));
        assert_eq!(waiting.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        until("all are closed", || server.sum(|stats| stats.open.get()) == 0);
    });
}

#[test]
fn a_process_that_dies_leaves_its_connections_with_what_it_has_sent() {
    on_each_with(Sender::Application, |server| {
        let app = server.attach();
        let (listeners, address) = listen(&app);
        let incoming = incoming(&app, &listeners);
        let mut client = TcpStream::connect(address).unwrap();
        let (_, mut own) = accept(&app, &listeners, &incoming);
        own.write_all(&pattern(50_000)).unwrap();
        drop((app, own, incoming));
        let mut octets = Vec::new();
        client.read_to_end(&mut octets).unwrap();
        assert!(octets == pattern(50_000));
        until("nobody listens", || TcpStream::connect(address).is_err());
    });
}

#[test]
fn more_connections_than_may_be_on_their_way_wait_for_their_turn() {
    on_each_with(Sender::Application, |server| {
        let app = server.attach();
        let (listeners, address) = listen(&app);
        listeners.iter().for_each(|listener| app.slot(*listener).want(u32::MAX));
        let incoming = incoming(&app, &listeners);
        let clients: Vec<_> = (0..handing::MOST + 20).map(|_| TcpStream::connect(address).unwrap()).collect();
        for _ in &clients {
            let (slot, mut own) = accept(&app, &listeners, &incoming);
            own.write_all(b"yes").unwrap();
            app.command(slot, command::CLOSE);
        }
        for mut client in clients {
            let mut octets = Vec::new();
            client.read_to_end(&mut octets).unwrap();
            assert_eq!(octets, b"yes");
        }
    });
}

#[test]
fn who_connects_sends_on_his_own_socket() {
    on_each_with(Sender::Application, |server| {
        let app = server.attach();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let own = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let Ok(Reply::Connecting { slot }) = app.ask(&Request::Connect { to }, &[own.as_fd()]) else {
            panic!("refused")
        };
        let (peer, _) = listener.accept().unwrap();
        until("it is connected", || app.has(slot, state::CONNECTED));
        let mut own = TcpStream::from(own);
        own.write_all(b"request").unwrap();
        own.shutdown(Shutdown::Write).unwrap();
        app.command(slot, command::FINISH);
        is_answered(&app, slot, peer);
    });
}

#[test]
fn small_parts_wait_for_acknowledgments_if_the_application_wants_it() {
    on_each_with(Sender::Application, |server| {
        let (socket, ..) = listen_with(&server.attach());
        assert_eq!(rustix::net::sockopt::tcp_nodelay(&socket), Ok(false));
    });
}
