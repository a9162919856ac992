//! The API over a TCP server that only receives: the application sends by itself, on the kernel's sockets.

#[path = "support/real.rs"]
mod real;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use memnet::{Attachment, Listener, Options, Sender, Socket, Stream};
use real::Real;
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn start() -> (Real, Arc<Attachment>) {
    let real = Real::receiving();
    let attachment = Attachment::attach(&real.path(), "a test").unwrap();
    assert_eq!(attachment.sender(), Sender::Application);
    (real, attachment)
}

/// A server with a connection of the kernel's to it.
fn connected() -> (Real, Arc<Attachment>, Socket, TcpStream) {
    let (real, attachment) = start();
    let listener = Listener::bind(&attachment, any(), &Options::default()).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let socket = listener.sync_accept(soon()).unwrap();
    (real, attachment, socket, peer)
}

#[test]
fn what_is_sent_and_received_arrives_and_the_end_comes_behind_it() {
    let (_real, _attachment, socket, mut peer) = connected();
    let octets: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    let mut echo = peer.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let mut received = Vec::new();
        echo.read_to_end(&mut received).unwrap();
        received
    });
    assert_eq!(socket.sync_send(&octets, soon()).unwrap(), octets.len());
    socket.shutdown(Shutdown::Write);
    assert_eq!(socket.sync_send(b"x", soon()).unwrap_err().raw_os_error(), Some(Errno::PIPE.raw_os_error()));
    assert!(reader.join().unwrap() == octets);
    peer.write_all(b"still heard").unwrap();
    let mut heard = [0; 16];
    assert_eq!(socket.sync_recv(&mut heard, soon()).unwrap(), 11);
}

#[test]
fn who_waits_for_room_waits_until_his_deadline_and_learns_that_the_server_is_gone() {
    let (mut real, _attachment, socket, _peer) = connected();
    let octets = vec![0; 1 << 20];
    let late = loop {
        // Nobody reads: one day there is no room.
        match socket.sync_send(&octets, Some(Instant::now())) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(late.raw_os_error(), Some(Errno::TIMEDOUT.raw_os_error()));
    assert_eq!(socket.try_send(&octets).unwrap_err().kind(), ErrorKind::WouldBlock);
    thread::scope(|scope| {
        let waits = scope.spawn(|| socket.sync_send(&octets, None));
        real.stop();
        assert!(waits.join().unwrap().is_err());
    });
}

#[test]
fn what_the_server_would_send_later_is_refused() {
    let (_real, attachment, socket, mut peer) = connected();
    let mut buffer = attachment.register_mem(4096).unwrap();
    buffer.fill(7);
    let refused = socket.async_send(buffer, 0..4096).unwrap_err();
    assert_eq!(refused.error.raw_os_error(), Some(Errno::NOTSUP.raw_os_error()));
    assert_eq!(socket.sync_send(&refused.buffer, soon()).unwrap(), 4096);
    // Receives are the server's as ever.
    let receives = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap();
    peer.write_all(b"received").unwrap();
    assert_eq!(receives.wait().0.unwrap(), 8);
    drop(socket);
    let mut octets = Vec::new();
    peer.read_to_end(&mut octets).unwrap();
    assert!(octets == [7; 4096]);
}

#[test]
fn an_abort_resets_and_so_does_a_close_with_something_unread() {
    for aborts in [true, false] {
        let (_real, _attachment, socket, mut peer) = connected();
        if aborts {
            socket.abort();
        } else {
            peer.write_all(b"nobody reads this").unwrap();
            while socket.channel().readable().unwrap() < 17 {
                thread::yield_now();
            }
            drop(socket);
        }
        assert_eq!(peer.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn connections_are_opened_and_refused() {
    let (_real, attachment) = start();
    let listener = TcpListener::bind(any()).unwrap();
    let to = listener.local_addr().unwrap();
    let socket = Socket::connect(&attachment, to, &Options::default(), soon()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    socket.sync_send(b"request", soon()).unwrap();
    let mut request = [0; 7];
    peer.read_exact(&mut request).unwrap();
    assert_eq!(&request, b"request");
    drop((peer, listener));
    assert_eq!(socket.sync_recv(&mut [0; 8], soon()).unwrap(), 0);
    let refused = Socket::connect(&attachment, to, &Options::default(), soon()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

async fn talk(attachment: &Arc<Attachment>) {
    let listener = Listener::bind(attachment, any(), &Options::default()).unwrap();
    let to = listener.local_addr().unwrap();
    let client = Socket::async_connect(attachment, to, &Options::default()).unwrap().await.unwrap();
    let mut client = Stream::from(client);
    let mut server = Stream::from(listener.async_accept().await.unwrap());
    let sent = vec![3; 9_000_000];
    let writes = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let mut octets = Vec::new();
    let (read, ()) = tokio::join!(server.read_to_end(&mut octets), writes);
    assert_eq!(read.unwrap(), sent.len());
    assert!(octets == sent);
}

#[test]
fn a_stream_that_waits_for_room_is_woken_by_a_thread() {
    let (_real, attachment) = start();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(talk(&attachment));
}

#[test]
fn a_stream_that_waits_for_room_is_woken_by_who_drives_the_reactor() {
    let (_real, attachment) = start();
    let reactor = attachment.reactor().unwrap();
    let mut future = pin!(talk(&attachment));
    let mut context = Context::from_waker(Waker::noop());
    while future.as_mut().poll(&mut context).is_pending() {
        reactor.turn(soon()).unwrap();
    }
}
