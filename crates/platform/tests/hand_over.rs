//! What comes of handing connections over when the receiver is not as it should be. That it works with a proper
//! receiver is tested where that is.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afpa_platform::hand_over::{Addresses, HandOver, MAX_OCTETS, hand_over, refuse};

const PATIENCE: Duration = Duration::from_millis(50);

#[test]
fn a_connection_that_nobody_takes_comes_back() {
    let directory = Directory::new("comes-back");
    let absent = directory.0.join("absent");
    let stale = directory.0.join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    let file = directory.0.join("file");
    std::fs::write(&file, "").unwrap();
    let too_long = directory.0.join("x".repeat(200));
    for (path, kinds) in [
        (&absent, &[ErrorKind::NotFound][..]),
        (&stale, &[ErrorKind::ConnectionRefused]),
        (&file, &[ErrorKind::ConnectionRefused]),
        (&too_long, &[ErrorKind::InvalidFilename, ErrorKind::InvalidInput]),
    ] {
        let (mut client, socket) = connection();
        let addresses = Addresses::of(socket.as_fd()).unwrap();
        assert_eq!(addresses.client, client.local_addr().unwrap());
        assert_eq!(addresses.local, client.peer_addr().unwrap());
        let (error, socket) = hand_over(path, PATIENCE, &addresses, b"GET", socket).unwrap_err();
        assert!(kinds.contains(&error.kind()), "{}: {error}", path.display());
        refuse(socket, b"sorry");
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "sorry");
    }
}

#[test]
fn whatever_becomes_of_it_the_client_hears_something() {
    let directory = Directory::new("hears");
    for is_tried in [false, true] {
        let (mut client, socket) = connection();
        let addresses = Addresses::of(socket.as_fd()).unwrap();
        let hand_over = HandOver::new(socket, b"GET".to_vec(), addresses, (*b"nobody is there").into());
        if is_tried {
            let error = hand_over.run(&directory.0.join("absent"), PATIENCE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        } else {
            drop(hand_over);
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "nobody is there");
    }
}

#[test]
fn a_receiver_that_does_not_read_costs_a_worker_its_patience_only() {
    let directory = Directory::new("does-not-read");
    let path = directory.0.join("socket");
    let _receiver = UnixListener::bind(&path).unwrap();
    let (_client, mut socket) = connection();
    let addresses = Addresses::of(socket.as_fd()).unwrap();
    // More than the kernel keeps for a receiver.
    let error;
    (error, socket) = hand_over(&path, PATIENCE, &addresses, &vec![0; MAX_OCTETS], socket).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let (error, _) = hand_over(&path, PATIENCE, &addresses, &vec![0; MAX_OCTETS + 1], socket).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_receiver_that_accepts_nothing_costs_the_same() {
    let directory = Directory::new("accepts-nothing");
    let path = directory.0.join("socket");
    let receiver = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&receiver, 0).unwrap();
    let (_client, mut socket) = connection();
    let addresses = Addresses::of(socket.as_fd()).unwrap();
    let mut clients = Vec::new();
    let error = loop {
        match hand_over(&path, PATIENCE, &addresses, b"", socket) {
            Ok(()) => assert!(clients.len() < 10, "the backlog has no end"),
            Err((error, _)) => break error,
        }
        let client;
        (client, socket) = connection();
        clients.push(client);
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn what_the_client_had_sent_does_not_cost_it_its_answer() {
    let (mut client, socket) = connection();
    client.write_all(&[7; 50_000]).unwrap();
    // All of it is there.
    let mut seen = vec![0; 50_000];
    let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::WAITALL;
    assert_eq!(rustix::net::recv(&socket, &mut seen[..], flags).unwrap().0, 50_000);
    refuse(socket, b"sorry");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "sorry");
}

fn connection() -> (TcpStream, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (client, listener.accept().unwrap().0.into())
}

/// A directory of the test's own.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("afpa-hand-over-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        let _ = std::fs::remove_dir_all(path);
    }
}
