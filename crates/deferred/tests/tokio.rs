//! Connections that are handed to a server on tokio.

mod common;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use afpa_deferred::{AsyncConnection, AsyncListener, Listener, Options};
use common::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

#[tokio::test]
async fn reading_begins_with_what_had_been_read() {
    let (_directory, path) = scratch();
    let mut listener = AsyncListener::bind(&path).unwrap();
    for length in [0, 1, 500_000] {
        let before: Vec<u8> = (0..length).map(|number: u32| (number / 251) as u8).collect();
        let (octets, to) = (before.clone(), path.clone());
        let client = spawn_blocking(move || {
            let mut client = hand(&to, &octets);
            client.write_all(b"and after").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            (client, answer)
        });
        let mut connection = listener.accept().await.unwrap();
        assert!(connection.read_ahead() == before);
        let mut octets = Vec::new();
        connection.read_to_end(&mut octets).await.unwrap();
        assert!(octets == [&before, &b"and after"[..]].concat());
        connection.write_all(b"answer").await.unwrap();
        let addresses = connection.addresses();
        drop(connection);
        let (client, answer) = client.await.unwrap();
        assert_eq!(answer, "answer");
        let local = client.local_addr().unwrap();
        assert_eq!(addresses.client, local);
    }
    assert_eq!(listener.refused(), 0);
}

#[tokio::test]
async fn senders_that_lie_are_refused_and_counted() {
    let (_directory, path) = scratch();
    let mut listener = AsyncListener::bind(&path).unwrap();
    let to = path.clone();
    let liars = spawn_blocking(move || play_liars(&to));
    let liars = loop {
        // Nobody honest is there: nothing comes but the count.
        assert!(timeout(Duration::from_millis(5), listener.accept()).await.is_err());
        if liars.is_finished() {
            break liars.await.unwrap();
        }
    };
    while listener.refused() < liars {
        assert!(timeout(Duration::from_millis(5), listener.accept()).await.is_err());
    }
    let _client = hand(&path, b"honest");
    assert_eq!(listener.accept().await.unwrap().read_ahead(), b"honest");
    assert_eq!(listener.refused(), liars);
}

#[tokio::test]
async fn a_slow_sender_does_not_hold_up_others_and_is_refused_in_the_end() {
    let (_directory, path) = scratch();
    let mut listener = AsyncListener::bind_with(&path, Options::default().patience(PATIENCE)).unwrap();
    let (_client, socket) = connection();
    let slow = UnixStream::connect(&path).unwrap();
    send(&slow, &header(5)[..30], &[socket.as_fd()]);
    let _other = hand(&path, b"quick");
    assert_eq!(listener.accept().await.unwrap().read_ahead(), b"quick");
    send(&slow, &[&header(5)[30..], b"slow"].concat(), &[]);
    let _other = hand(&path, b"quick");
    assert_eq!(listener.accept().await.unwrap().read_ahead(), b"quick");
    send(&slow, b"!", &[]);
    assert_eq!(listener.accept().await.unwrap().read_ahead(), b"slow!");

    drop(listener);
    let patience = Duration::from_millis(20);
    let mut listener = AsyncListener::bind_with(&path, Options::default().patience(patience)).unwrap();
    let silent = UnixStream::connect(&path).unwrap();
    while listener.refused() == 0 {
        assert!(timeout(patience, listener.accept()).await.is_err());
    }
    drop(silent);
}

#[tokio::test]
async fn a_connection_can_move_between_both_worlds() {
    let (_directory, path) = scratch();
    let mut listener = Listener::bind(&path).unwrap();
    let mut client = hand(&path, b"abc");
    let mut connection = AsyncConnection::try_from(listener.accept().unwrap()).unwrap();
    let mut first = [0; 1];
    connection.read_exact(&mut first).await.unwrap();
    let (mut stream, rest) = connection.into_std().unwrap();
    assert_eq!((&first, rest.as_slice()), (b"a", &b"bc"[..]));
    stream.write_all(b"answer").unwrap();
    drop(stream);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}
