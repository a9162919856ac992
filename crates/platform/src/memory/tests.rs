//! What a peer sees of lent memory, over real sockets.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::gather::Gather;
use crate::pipe::Pipe;

const PAGES: usize = 32;
/// Extents that have their pages to themselves: a whole page of the arena, and some of the kernel's.
const LENT: [usize; 2] = [MAX_EXTENT, 20_000];

fn filled(arena: &Arc<Arena>, len: usize, byte: u8) -> ExtentMut {
    let mut extent = arena.allocate(len).expect("room");
    extent.fill(byte);
    extent
}

fn pin(extent: ExtentMut) -> PinnedSlice {
    let len = extent.len();
    LocalExtent::new(extent.seal(Box::default()), Arc::default()).pin(0..len)
}

/// Lends as many of `pins` as the socket takes; gives back how many octets that was.
fn send_lent(socket: impl std::os::fd::AsFd, pins: &[PinnedSlice]) -> usize {
    let mut pipe = Pipe::new().expect("a pipe");
    let mut sent = 0;
    for pin in pins {
        let mut gather = Gather::default();
        gather.pin(pin.clone());
        match pipe.send(&gather, 1, socket.as_fd()) {
            Ok((taken, _)) => sent += taken,
            Err(error) => assert_eq!(error, rustix::io::Errno::AGAIN),
        }
    }
    sent
}

/// Sends lent pages to a peer that does not read, drops them, uses their memory again, and only then
/// lets the peer read.
fn old_contents_arrive<S: std::os::fd::AsFd>(socket: S, mut peer: impl Read, len: usize) {
    let arena = Arena::new((PAGES * MAX_EXTENT) as u64).expect("an arena");
    let fill = |byte| {
        std::iter::from_fn(|| arena.allocate(len)).map(move |mut extent| {
            extent.fill(byte);
            extent
        })
    };
    let pins: Vec<PinnedSlice> = fill(b'a').map(pin).collect();
    let sent = send_lent(&socket, &pins);
    assert!(sent >= MAX_EXTENT, "only {sent} octets sent");

    let count = pins.len();
    drop(pins);
    assert_eq!(arena.in_use(), 0);
    let again: Vec<ExtentMut> = fill(b'b').collect();
    assert_eq!(again.len(), count, "the arena is full, so every lent page is in use again");

    drop(socket);
    let mut received = Vec::new();
    peer.read_to_end(&mut received).expect("all that was sent");
    assert_eq!(received.len(), sent);
    assert!(received.iter().all(|&byte| byte == b'a'), "a packet in flight saw new contents");
    assert!(again.iter().all(|extent| extent.iter().all(|&byte| byte == b'b')));
}

#[test]
fn packets_in_flight_keep_lent_pages_over_tcp() {
    for len in LENT {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (peer, _) = listener.accept().expect("accepted");
        socket.set_nonblocking(true).expect("a socket");
        old_contents_arrive(socket, peer, len);
    }
}

#[test]
fn packets_in_flight_keep_lent_pages_over_a_unix_socket() {
    for len in LENT {
        let (socket, peer) = UnixStream::pair().expect("a pair");
        socket.set_nonblocking(true).expect("a socket");
        old_contents_arrive(socket, peer, len);
    }
}

#[test]
fn what_shares_a_page_is_not_lent() {
    let arena = Arena::new(8 << 20).expect("an arena");
    assert!(!pin(filled(&arena, 10_000, 1)).lend());
    assert!(pin(filled(&arena, 20_000, 1)).lend());
    assert!(pin(filled(&arena, 60_000, 1)).lend());
    assert!(pin(filled(&arena, MAX_EXTENT, 1)).share().lend());
}

#[test]
fn a_registered_arena_lends_nothing() {
    let arena = Arena::new(8 << 20).expect("an arena");
    arena.register().expect("nothing was lent");
    assert!(!pin(filled(&arena, MAX_EXTENT, 1)).lend());
}

#[test]
fn pins_are_counted_and_keep_their_extent() {
    let arena = Arena::new(8 << 20).expect("an arena");
    let pins = Arc::new(AtomicU64::new(0));
    let local = LocalExtent::new(filled(&arena, 100, 7).seal(Box::default()), pins.clone());
    let (first, second) = (local.pin(0..50), local.pin(50..100));
    let third = second.clone();
    drop((local, first));
    assert_eq!(pins.load(Ordering::Relaxed), 2);
    assert_eq!((&*second, third.as_ptr()), (&[7; 50][..], second.as_ptr()));
    let shared = second.share();
    drop((second, third));
    assert_eq!(pins.load(Ordering::Relaxed), 0);
    let reader = std::thread::spawn(move || shared.iter().map(|&byte| u32::from(byte)).sum::<u32>());
    assert_eq!(reader.join().expect("no panic"), 350);
    assert_eq!(arena.in_use(), 0);
}
