//! The whole way: a client's connection from a transport of the server to an application on axum, which answers over
//! it as if it had accepted it.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use afpa_deferred::{Addresses, AsyncListener};
use afpa_engine::seam::{Address, Calls, Disconnect, Events, Listen, ListenerId, Origin, Released, Segment};
use afpa_engine::{ConnectionId, Owner, Time, Transport};
use afpa_platform::hand_over::{self, hand_over};
use afpa_sockets::{Interface, Respond, Sockets, SocketsConfig};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use common::*;

/// Answers `GET /near` itself, and hands every other connection over.
struct FrontEnd {
    path: PathBuf,
    handed_over: usize,
}

const NEAR: &[u8] = b"GET /near HTTP/1.1\r\nHost: a\r\n\r\n";
const NEAR_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnear";

impl Events for FrontEnd {
    fn connected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Origin) {}

    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, _: Owner, bytes: &[u8]) -> usize {
        let mut consumed = 0;
        while bytes[consumed..].starts_with(NEAR) {
            calls.send(id, Segment::Copy(NEAR_ANSWER));
            consumed += NEAR.len();
        }
        let rest = &bytes[consumed..];
        if !rest.is_empty() && !NEAR.starts_with(rest) {
            assert!(calls.release(id));
        }
        consumed
    }

    fn sent(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: u64) {}

    fn disconnected(&mut self, calls: &mut dyn Calls, id: ConnectionId, _: Owner, reason: Disconnect) {
        if reason == Disconnect::Finished {
            calls.close(id);
        }
    }

    fn datagram(&mut self, _: &mut dyn Calls, _: ListenerId, _: Owner, _: SocketAddr, _: &[u8]) {}

    fn released(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, released: Released) {
        self.handed_over += 1;
        let path = self.path.clone();
        // What a worker does.
        thread::spawn(move || {
            let Released { socket, octets } = released;
            let addresses = hand_over::Addresses::of(socket.as_fd()).unwrap();
            hand_over(&path, PATIENCE, &addresses, &octets, socket).unwrap();
        });
    }
}

#[test]
fn an_application_answers_over_the_clients_own_connection() {
    for interface in [Interface::Epoll, Interface::Uring] {
        if let (Interface::Uring, Err(reason)) = (interface, afpa_platform::uring::probe()) {
            eprintln!("skipped: {reason}");
            continue;
        }
        let (_directory, path) = scratch();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(async { AsyncListener::bind(&path).unwrap() });
        // It ends with the process.
        thread::spawn(move || {
            let app = app().into_make_service_with_connect_info::<Addresses>();
            runtime.block_on(axum::serve(listener, app).into_future())
        });
        converse(interface, &path);
    }
}

fn app() -> Router {
    async fn far(ConnectInfo(addresses): ConnectInfo<Addresses>) -> String {
        format!("far from {}", addresses.client)
    }
    async fn length(body: axum::body::Bytes) -> String {
        format!("{} octets", body.len())
    }
    Router::new().route("/far", get(far)).route("/length", post(length))
}

/// Plays the front end, and its clients.
fn converse(interface: Interface, path: &Path) {
    let config = SocketsConfig { interface, respond: Respond::Inline, ..SocketsConfig::default() };
    let mut sockets = Sockets::new(config).unwrap();
    let listener = sockets.listen(Listen::Stream(Address::Inet("127.0.0.1:0".parse().unwrap())), Owner(0)).unwrap();
    let Ok(Address::Inet(address)) = sockets.local_address(listener) else { panic!("no address") };
    let clients: Vec<_> = (0..8).map(|_| thread::spawn(move || be_a_client(address))).collect();
    let mut front_end = FrontEnd { path: path.to_owned(), handed_over: 0 };
    while !clients.iter().all(|client| client.is_finished()) {
        let now = Time(afpa_platform::clock::now());
        sockets.poll(now, Some(Duration::from_millis(5)), &mut front_end).unwrap();
    }
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(front_end.handed_over, 8);
    assert_eq!(sockets.connections(), 0);
}

fn be_a_client(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    stream.write_all(NEAR).unwrap();
    assert_eq!(read_answer(&mut answers), "near");
    // A pipeline, of which the front end answers the first, and the beginning of a body.
    let body = vec![b'x'; 100_000];
    let far = b"GET /far HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = format!("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[NEAR, far, length.as_bytes(), &body[..1000]].concat()).unwrap();
    assert_eq!(read_answer(&mut answers), "near");
    let expected = format!("far from {}", stream.local_addr().unwrap());
    assert_eq!(read_answer(&mut answers), expected);
    stream.write_all(&body[1000..]).unwrap();
    assert_eq!(read_answer(&mut answers), "100000 octets");
    // The connection stays, and is the application's.
    for _ in 0..3 {
        stream.write_all(far).unwrap();
        assert_eq!(read_answer(&mut answers), expected);
    }
}

/// A response's content.
fn read_answer(answers: &mut impl BufRead) -> String {
    let mut length = 0;
    loop {
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        assert!(!line.is_empty(), "the connection ended");
    }
    let mut content = vec![0; length];
    answers.read_exact(&mut content).unwrap();
    String::from_utf8(content).unwrap()
}
