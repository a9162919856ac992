//! The examples, against the TCP server itself and clients of the kernel.

#![allow(clippy::duplicate_mod, reason = "two examples have the same modules")]

#[path = "../examples/echo_async.rs"]
mod echo_async;
#[path = "../examples/echo_sync.rs"]
mod echo_sync;
#[path = "../examples/http_async.rs"]
mod http_async;
#[path = "../examples/http_sync.rs"]
mod http_sync;
#[path = "support/real.rs"]
mod real;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use memnet::{Attachment, Listener, Options};
use real::Real;

const ANY: &str = "127.0.0.1:0";

fn attach(real: &Real) -> Arc<Attachment> {
    Attachment::attach(&real.path(), "a test").unwrap()
}

fn client(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

fn echoes(run: fn(&Listener) -> std::io::Result<()>) {
    let real = Real::start();
    let listener = Listener::bind(&attach(&real), ANY.parse().unwrap(), &Options::default()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || run(&listener));
    let octets: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let octets = octets.clone();
            thread::spawn(move || {
                let mut reader = client(address);
                let mut writer = reader.try_clone().unwrap();
                let sends = {
                    let octets = octets.clone();
                    thread::spawn(move || {
                        writer.write_all(&octets).unwrap();
                        writer.shutdown(Shutdown::Write).unwrap();
                    })
                };
                let mut back = Vec::new();
                reader.read_to_end(&mut back).unwrap();
                sends.join().unwrap();
                assert!(back == octets, "{} octets came back of {}", back.len(), octets.len());
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn octets_come_back_from_who_waits() {
    echoes(echo_sync::run);
}

#[test]
fn octets_come_back_from_jobs() {
    echoes(echo_async::run);
}

fn site(root: &Path) {
    fs::create_dir(root.join("below")).unwrap();
    fs::write(root.join("below/small"), "a small file").unwrap();
    fs::write(root.join("large"), vec![b'x'; 3_000_000]).unwrap();
    fs::write(root.join("empty"), "").unwrap();
}

fn serves(start: impl FnOnce(&Real, &Path) -> SocketAddr) {
    let directory = tempfile::tempdir().unwrap();
    site(directory.path());
    let real = Real::start();
    let address = start(&real, directory.path());
    let ask = |pieces: &[&str]| {
        let mut client = client(address);
        pieces.iter().for_each(|piece| client.write_all(piece.as_bytes()).unwrap());
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    };
    let small = ask(&["GET /below/sm", "all HTTP/1.0\r\nHost: a\r\n\r\n"]);
    assert_eq!(small, "HTTP/1.0 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\na small file");
    let large = ask(&["GET /large HTTP/1.0\r\n\r\n"]);
    assert_eq!(large.bytes().filter(|octet| *octet == b'x').count(), 3_000_000);
    let pipelined = "GET /below/small HTTP/1.1\r\n\r\n".repeat(40)
        + "GET /none HTTP/1.1\r\n\r\nGET /large HTTP/1.1\r\n\r\nGET /empty HTTP/1.1\r\nconnection: Close\r\n\r\n";
    let answers = ask(&[&pipelined]);
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 42);
    assert_eq!(answers.matches("a small file").count(), 40);
    assert!(answers.find("404 Not Found").unwrap() < answers.find("Content-Length: 3000000").unwrap());
    assert!(answers.ends_with("Content-Length: 0\r\nConnection: close\r\n\r\n"));
    assert!(ask(&["POST / HTTP/1.1\r\n\r\n"]).starts_with("HTTP/1.1 400 "));
}

#[test]
fn files_are_served_by_threads_that_wait() {
    serves(|real, root| {
        let listener = Listener::bind(&attach(real), ANY.parse().unwrap(), &Options::default()).unwrap();
        let (address, root) = (listener.local_addr().unwrap(), root.to_owned());
        thread::spawn(move || http_sync::run(&listener, &root));
        address
    });
}

#[test]
fn files_are_served_from_registered_memory() {
    serves(|real, root| {
        let (tell, told) = channel();
        let (attachment, root) = (attach(real), root.to_owned());
        thread::spawn(move || {
            let mut server = http_async::Server::new(&attachment, ANY.parse().unwrap(), &root).unwrap();
            tell.send(server.address().unwrap()).unwrap();
            server.run()
        });
        told.recv().unwrap()
    });
}
