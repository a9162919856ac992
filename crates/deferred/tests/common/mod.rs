//! What the tests have in common: clients, and senders that do not do as they should.
#![allow(dead_code, reason = "each test uses a part")]

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afpa_platform::hand_over::{Addresses, hand_over};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tempfile::TempDir;

/// A test that takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Octets of a frame in front of those of the connection.
pub(crate) const HEADER: usize = 60;

/// A path for a socket, as long as the directory is kept.
pub(crate) fn scratch() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    (directory, path)
}

/// A connection: the client's end, and the one that is handed over.
pub(crate) fn connection() -> (TcpStream, OwnedFd) {
    connection_at("127.0.0.1:0").unwrap()
}

pub(crate) fn connection_at(address: &str) -> std::io::Result<(TcpStream, OwnedFd)> {
    let listener = TcpListener::bind(address)?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok((client, listener.accept()?.0.into()))
}

/// Hands a connection over as the server does. Returns the client's end.
pub(crate) fn hand(path: &Path, octets: &[u8]) -> TcpStream {
    let (client, socket) = connection();
    let addresses = Addresses::of(socket.as_fd()).unwrap();
    hand_over(path, PATIENCE, &addresses, octets, socket).unwrap();
    client
}

/// A frame's header, without a fault.
pub(crate) fn header(count: u32) -> Vec<u8> {
    let mut header = vec![0; HEADER];
    header[..5].copy_from_slice(b"AFPH\x01");
    header[8..12].copy_from_slice(&count.to_le_bytes());
    for address in [12, 36] {
        header[address] = 4;
        header[address + 8..address + 12].copy_from_slice(&[127, 0, 0, 1]);
    }
    header
}

/// Sends octets, and descriptors with the first of them.
pub(crate) fn send(sender: &UnixStream, octets: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    // Who refuses the first octets may be gone before the last.
    let _ = sendmsg(sender, &[IoSlice::new(octets)], &mut control, SendFlags::NOSIGNAL);
}

/// Plays every sender whose connection must not be taken. Returns how many there were.
pub(crate) fn play_liars(path: &Path) -> u64 {
    let (client, socket) = connection();
    let (tcp, udp) = (socket.as_fd(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (unix, file) = (UnixStream::pair().unwrap().0, std::fs::File::open("/dev/null").unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let with = |at: usize, octet: u8| {
        let mut octets = header(0);
        octets[at] = octet;
        octets
    };
    let long = |count: u32, octets: usize| [header(count), vec![b'x'; octets]].concat();
    let frames: &[(Vec<u8>, &[BorrowedFd<'_>])] = &[
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), &[]),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), &[tcp]),
        (with(0, b'X'), &[tcp]),
        (with(4, 2), &[tcp]),
        (with(7, 1), &[tcp]),
        (with(12, 9), &[tcp]),
        (with(36, 0), &[tcp]),
        (with(60 - 1, 1), &[tcp]),
        (header(0)[..HEADER - 1].to_vec(), &[tcp]),
        (b"A".to_vec(), &[tcp]),
        (long(10, 9), &[tcp]),
        (long(10, 11), &[tcp]),
        (long((1 << 20) + 1, 100), &[tcp]),
        (long(u32::MAX, 100), &[tcp]),
        (header(0), &[]),
        (long(10, 10), &[]),
        (header(0), &[tcp, tcp]),
        (header(0), &[tcp, tcp, tcp, tcp, tcp, tcp, tcp, tcp, tcp, tcp]),
        (header(0), &[udp.as_fd()]),
        (header(0), &[unix.as_fd()]),
        (header(0), &[file.as_fd()]),
        (header(0), &[listener.as_fd()]),
    ];
    for (octets, descriptors) in frames {
        send(&UnixStream::connect(path).unwrap(), octets, descriptors);
    }
    // A second descriptor with a later octet.
    let sender = UnixStream::connect(path).unwrap();
    send(&sender, &long(10, 5), &[tcp]);
    send(&sender, b"xxxxx", &[tcp]);
    // Who leaves without a word has done nothing wrong.
    drop(UnixStream::connect(path).unwrap());
    drop(client);
    frames.len() as u64 + 1
}
