//! Very many connections at once.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::Client;
use crate::lab::{CLIENT, Lab, skip};
use crate::server::{Server, eventually};

const CONNECTIONS: u64 = 10_000;
/// Descriptors beside those of the connections.
const OTHERS: u64 = 500;
/// How much an idle connection may take, everything included: TCP's state, the module's, the engine's.
const IDLE: u64 = 2048;

#[test]
fn ten_thousand_connections_are_all_answered() {
    let Some(lab) = Lab::cable("many") else { return };
    if !may_open(CONNECTIONS + OTHERS) {
        return skip("10,500 descriptors may not be opened");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "<p>one of many").unwrap();
    let server = Server::direct(&lab, dir.path(), &[]);
    let open = |count| -> Vec<Client> {
        let connect = |_| Client::here(lab.address()).with_little_memory();
        lab.client.inside(|| (0..count).map(connect).collect())
    };
    // What the first ones need is there for all.
    let mut warm = open(100);
    warm.iter_mut().for_each(ask_and_check);
    let before = server.memory();

    let mut clients = open(CONNECTIONS - 100);
    clients.append(&mut warm);
    for _ in 0..2 {
        // All ask before the first answer is read.
        clients.iter_mut().for_each(|client| client.ask(Path::new(""), ""));
        clients.iter_mut().for_each(check);
    }
    assert_eq!(server.engine("connections"), CONNECTIONS);
    let each = (server.memory().saturating_sub(before)) / (CONNECTIONS - 100);
    println!("{each} octets of memory for each idle connection");
    assert!(each <= IDLE, "{each} octets for each idle connection");
    assert_eq!(server.connections().len() as u64, CONNECTIONS);

    clients.iter_mut().step_by(100).for_each(ask_and_check);
    drop(clients);
    server.has_connections(0);
    assert_eq!(server.engine("timeouts"), 0);
    ask_and_check(&mut Client::connect(&lab.client, lab.address()));
}

#[test]
fn a_port_that_is_used_again_at_once_is_a_new_connection() {
    let Some(lab) = Lab::cable("again") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "<p>one of many").unwrap();
    let server = Server::direct(&lab, dir.path(), &[]);
    let SocketAddr::V4(address) = lab.address() else { unreachable!() };
    let from = SocketAddrV4::new(CLIENT.parse().unwrap(), 40_000);
    // The server closes first, and remembers (RFC 9293 §3.6.1).
    for _ in 0..50 {
        let mut client = None;
        // The client's kernel keeps the port until its own FIN is acknowledged.
        eventually("connecting", || {
            let stream = lab.client.inside(|| connect_from(&from, &address));
            client = stream.map(Client::on);
            client.is_some()
        });
        let mut client = client.unwrap();
        client.ask(Path::new(""), "Connection: close\r\n");
        check(&mut client);
        assert!(client.is_finished());
    }
    server.has_connections(0);
    assert_eq!(server.engine("connected"), 50);
    eventually("counting", || server.tcp("time_waits") == 50);
}

/// `None` while the port is in use.
fn connect_from(from: &SocketAddrV4, to: &SocketAddrV4) -> Option<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_reuseaddr(&socket, true).unwrap();
    bind(&socket, from).unwrap();
    match rustix::net::connect(&socket, to) {
        Ok(()) => Some(TcpStream::from(socket)),
        Err(Errno::ADDRNOTAVAIL) => None,
        Err(error) => panic!("{error}"),
    }
}

fn ask_and_check(client: &mut Client) {
    client.ask(Path::new(""), "");
    check(client);
}

fn check(client: &mut Client) {
    let answer = client.answer();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"<p>one of many"[..]));
}

/// Raises the limit if need be.
fn may_open(descriptors: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= descriptors) {
        return true;
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(descriptors));
    setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors), maximum }).is_ok()
}
