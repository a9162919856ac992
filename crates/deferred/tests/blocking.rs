//! Connections that are handed to a server that blocks.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use afpa_deferred::{Listener, MAX_SENDERS, Options};
use afpa_platform::hand_over::{Addresses, hand_over};
use common::*;

#[test]
fn reading_begins_with_what_had_been_read() {
    let (_directory, path) = scratch();
    let mut listener = Listener::bind(&path).unwrap();
    for length in [0, 1, 5000] {
        let before: Vec<u8> = (0..length).map(|number: u32| number as u8).collect();
        let mut client = hand(&path, &before);
        client.write_all(b"and after").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut connection = listener.accept().unwrap();
        assert_eq!(connection.client(), client.local_addr().unwrap());
        assert_eq!(connection.local(), client.peer_addr().unwrap());
        assert!(connection.read_ahead() == before);
        let mut octets = Vec::new();
        connection.read_to_end(&mut octets).unwrap();
        assert!(octets == [&before, &b"and after"[..]].concat());
        connection.write_all(b"answer").unwrap();
        drop(connection);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    }
    assert_eq!(listener.refused(), 0);
}

#[test]
fn much_may_come_along_and_is_given_on_with_the_socket() {
    let (_directory, path) = scratch();
    let mut listener = Listener::bind(&path).unwrap();
    let octets: Vec<u8> = (0..1u32 << 20).map(|number| (number / 251) as u8).collect();
    let (sent, sender) = (octets.clone(), path.clone());
    let client = std::thread::spawn(move || hand(&sender, &sent));
    let mut connection = listener.accept().unwrap();
    let client = client.join().unwrap();
    let mut first = [0; 1000];
    connection.read_exact(&mut first).unwrap();
    let (stream, rest) = connection.into_parts();
    assert!([&first, &rest[..]].concat() == octets);
    assert_eq!(stream.peer_addr().unwrap(), client.local_addr().unwrap());
}

#[test]
fn addresses_of_version_6_are_told_whole() {
    let (_directory, path) = scratch();
    let mut listener = Listener::bind(&path).unwrap();
    let (_client, socket) = connection();
    let client = std::net::SocketAddrV6::new("fe80::1:2:3".parse().unwrap(), 54321, 0, 7);
    let addresses = Addresses { client: client.into(), local: "[2001:db8::80]:443".parse().unwrap() };
    hand_over(&path, PATIENCE, &addresses, b"", socket).unwrap();
    let connection = listener.accept().unwrap();
    assert_eq!((connection.client(), connection.local()), (addresses.client, addresses.local));
}

#[test]
fn senders_that_lie_are_refused_and_counted() {
    let (_directory, path) = scratch();
    let mut listener = Listener::bind(&path).unwrap();
    let liars = play_liars(&path);
    let _client = hand(&path, b"honest");
    let connection = listener.accept().unwrap();
    assert_eq!(connection.read_ahead(), b"honest");
    assert_eq!(listener.refused(), liars);
}

#[test]
fn a_refused_connection_is_closed() {
    let (_directory, path) = scratch();
    let mut listener = Listener::bind(&path).unwrap();
    let (mut client, socket) = connection();
    send(&UnixStream::connect(&path).unwrap(), &header(5), &[socket.as_fd()]);
    drop(socket);
    let _client = hand(&path, b"honest");
    listener.accept().unwrap();
    assert_eq!((client.read(&mut [0; 10]).unwrap(), listener.refused()), (0, 1));
}

#[test]
fn a_slow_sender_does_not_hold_up_others_and_is_refused_in_the_end() {
    let (_directory, path) = scratch();
    let mut listener = Listener::bind_with(&path, Options::default().patience(PATIENCE)).unwrap();
    let (_client, socket) = connection();
    let slow = UnixStream::connect(&path).unwrap();
    send(&slow, &header(5), &[socket.as_fd()]);
    let _other = hand(&path, b"quick");
    assert_eq!(listener.accept().unwrap().read_ahead(), b"quick");
    send(&slow, b"slow", &[]);
    let _other = hand(&path, b"quick");
    assert_eq!(listener.accept().unwrap().read_ahead(), b"quick");
    send(&slow, b"!", &[]);
    assert_eq!(listener.accept().unwrap().read_ahead(), b"slow!");
    assert_eq!(listener.refused(), 0);

    drop(listener);
    let mut listener = Listener::bind_with(&path, Options::default().patience(Duration::ZERO)).unwrap();
    let silent = UnixStream::connect(&path).unwrap();
    let _other = hand(&path, b"quick");
    assert_eq!(listener.accept().unwrap().read_ahead(), b"quick");
    assert_eq!(listener.refused(), 1);
    drop(silent);
}

#[test]
fn more_senders_than_are_listened_to_wait() {
    let (_directory, path) = scratch();
    let mut listener = Listener::bind_with(&path, Options::default().patience(PATIENCE)).unwrap();
    let mut silent: Vec<_> = (0..MAX_SENDERS).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let _client = hand(&path, b"patient");
    let waiting = std::thread::spawn(move || (listener.accept().unwrap(), listener.refused()));
    assert!(!waiting.is_finished());
    silent.pop();
    let (connection, refused) = waiting.join().unwrap();
    assert_eq!((connection.read_ahead(), refused), (&b"patient"[..], 0));
}

#[test]
fn less_may_be_allowed_to_come_along() {
    let (_directory, path) = scratch();
    let mut listener = Listener::bind_with(&path, Options::default().max_read_ahead(5)).unwrap();
    let _clients = [hand(&path, b"123456"), hand(&path, b"12345")];
    assert_eq!(listener.accept().unwrap().read_ahead(), b"12345");
    assert_eq!(listener.refused(), 1);
}

#[test]
fn only_one_user_may_be_listened_to() {
    let (_directory, path) = scratch();
    let us = rustix::process::getuid().as_raw();
    for (uid, taken) in [(us, true), (us + 1, false)] {
        let mut listener = Listener::bind_with(&path, Options::default().only_from(uid)).unwrap();
        let _client = hand(&path, b"");
        if taken {
            listener.accept().unwrap();
        } else {
            // The other user never comes: what shows is that the connection was closed.
            let (mut client, socket) = connection();
            let addresses = Addresses::of(socket.as_fd()).unwrap();
            hand_over(&path, PATIENCE, &addresses, b"", socket).unwrap();
            let _waiting = std::thread::spawn(move || listener.accept());
            assert_eq!(client.read(&mut [0; 10]).unwrap(), 0);
        }
    }
}

#[test]
fn the_file_is_the_listeners() {
    let (directory, path) = scratch();
    let mode = |path: &std::path::Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
    let listener = Listener::bind(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    let error = Listener::bind(&path).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains("socket"), "{error}");
    drop(listener);
    assert!(!path.exists());

    // One that was left behind is replaced.
    drop(UnixListener::bind(&path).unwrap());
    let listener = Listener::bind_with(&path, Options::default().mode(0o666)).unwrap();
    assert_eq!(mode(&path), 0o666);

    // Somebody else's is left alone.
    std::fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
    drop(other);

    let file = directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&file, &link] {
        assert_eq!(Listener::bind(path).err().unwrap().kind(), ErrorKind::AlreadyExists);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    assert_eq!(Listener::bind(directory.path().join("absent/socket")).err().unwrap().kind(), ErrorKind::NotFound);
}
