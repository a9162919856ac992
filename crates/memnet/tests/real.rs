//! The API against the TCP server itself, on the kernel's sockets.

#[path = "support/real.rs"]
mod real;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use memnet::{Attachment, Job, Listener, Options, Queue, Socket, Wait, wait_any};
use real::Real;
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn attach(real: &Real) -> Arc<Attachment> {
    Attachment::attach(&real.path(), "a test").unwrap()
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A server with a connection of the kernel's to it.
fn connected() -> (Real, Arc<Attachment>, Socket, TcpStream) {
    let real = Real::start();
    let attachment = attach(&real);
    let listener = Listener::bind(&attachment, any(), &Options::default()).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let socket = listener.sync_accept(soon()).unwrap();
    assert_eq!(socket.peer_addr().unwrap(), peer.local_addr().unwrap());
    (real, attachment, socket, peer)
}

#[test]
fn what_is_copied_posted_and_read_from_a_file_arrives_in_its_order() {
    let (_real, attachment, socket, mut peer) = connected();
    let mut buffer = attachment.register_mem(2_000_000).unwrap();
    buffer.fill(b'b');
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, vec![b'c'; 1_000_000]).unwrap();
    let file = attachment.open_file(std::fs::File::open(path).unwrap().as_fd()).unwrap();
    let reader = thread::spawn(move || {
        let mut octets = Vec::new();
        peer.read_to_end(&mut octets).unwrap();
        octets
    });
    assert_eq!(socket.sync_send(&[b'a'; 300_000], soon()).unwrap(), 300_000);
    let mut memory = socket.async_send(buffer, 0..2_000_000).unwrap();
    let mut disk = socket.send_file(&file, 0, 1_000_000).unwrap();
    assert_eq!(socket.sync_send(&[b'd'; 300_000], soon()).unwrap(), 300_000);
    memory.job_wait(soon()).unwrap();
    disk.job_wait(soon()).unwrap();
    assert_eq!((memory.wait().0.unwrap(), disk.wait().0.unwrap()), (2_000_000, 1_000_000));
    socket.close();
    let octets = reader.join().unwrap();
    let runs: Vec<_> = octets.chunk_by(|one, other| one == other).map(|run| (run[0], run.len())).collect();
    assert_eq!(runs, [(b'a', 300_000), (b'b', 2_000_000), (b'c', 1_000_000), (b'd', 300_000)]);
}

#[test]
fn receives_are_waited_for_cancelled_and_ended() {
    let (_real, attachment, socket, mut peer) = connected();
    let job = socket.async_recv(attachment.register_receive_mem(100).unwrap()).unwrap();
    peer.write_all(b"hello").unwrap();
    let (count, buffer) = job.wait();
    assert_eq!(count.unwrap(), 5);
    let mut job = socket.async_recv(buffer).unwrap();
    assert_eq!(job.job_wait(Some(Instant::now())).unwrap_err().kind(), ErrorKind::TimedOut);
    job.cancel();
    let (count, buffer) = job.wait();
    assert_eq!(Errno::from_io_error(&count.unwrap_err()), Some(Errno::CANCELED));
    // Given up: what follows waits until that is over, and nothing is lost that came later.
    drop(socket.async_recv(buffer).unwrap());
    let mut octets = [0; 8];
    assert_eq!(socket.sync_recv(&mut octets, Some(Instant::now())).unwrap_err().kind(), ErrorKind::TimedOut);
    peer.write_all(b"later").unwrap();
    assert_eq!(socket.sync_recv(&mut octets, soon()).unwrap(), 5);
    let mut job = socket.async_recv(attachment.register_receive_mem(100).unwrap()).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(wait_any(&mut [&mut job], soon()).unwrap(), 0);
    assert_eq!(job.wait().0.unwrap(), 0);
}

#[test]
fn a_connection_that_is_aborted_fails_on_both_sides() {
    let (_real, attachment, socket, mut peer) = connected();
    // More than the peer takes.
    let job = socket.async_send(attachment.register_mem(64 << 20).unwrap(), 0..64 << 20).unwrap();
    socket.abort();
    let (result, buffer) = job.wait();
    assert_eq!((result.unwrap_err().kind(), buffer.len()), (ErrorKind::ConnectionAborted, 64 << 20));
    assert_eq!(socket.sync_recv(&mut [0; 8], soon()).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    let failed = loop {
        match peer.read(&mut [0; 65536]) {
            Ok(0) => panic!("it ended in order"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(failed.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_peer_that_resets_ends_jobs() {
    let (_real, attachment, socket, peer) = connected();
    let sends = socket.async_send(attachment.register_mem(64 << 20).unwrap(), 0..64 << 20).unwrap();
    let receives = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap();
    // Who closes with octets unread resets.
    peer.peek(&mut [0]).unwrap();
    drop(peer);
    assert_eq!(sends.wait().0.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let (count, buffer) = receives.wait();
    assert!(matches!(count, Ok(0) | Err(_)), "{count:?}");
    assert_eq!(buffer.len(), 64);
}

#[test]
fn a_server_that_stops_is_noticed_within_a_second() {
    let (mut real, attachment, socket, _peer) = connected();
    let mut job = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| job.job_wait(soon()));
        while !socket.channel().slot().server_waited_for() {
            thread::yield_now();
        }
        real.stop();
        waits.join().unwrap().unwrap();
    });
    assert_eq!(job.wait().0.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(!attachment.is_alive());
}

#[test]
fn connections_are_opened_and_refused() {
    let real = Real::start();
    let attachment = attach(&real);
    let listener = TcpListener::bind(any()).unwrap();
    let to = listener.local_addr().unwrap();
    let socket = Socket::connect(&attachment, to, &Options::default(), soon()).unwrap();
    let (mut peer, from) = listener.accept().unwrap();
    assert_eq!((socket.local_addr().unwrap(), socket.peer_addr().unwrap()), (from, to));
    socket.sync_send(b"hello", soon()).unwrap();
    let mut octets = [0; 5];
    peer.read_exact(&mut octets).unwrap();
    assert_eq!(&octets, b"hello");
    drop(listener);
    let refused = Socket::connect(&attachment, to, &Options::default(), soon()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Parked(Thread);
    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

async fn talk(attachment: &Arc<Attachment>) {
    let listener = Listener::bind(attachment, any(), &Options::default()).unwrap();
    let to = listener.local_addr().unwrap();
    let client = Socket::async_connect(attachment, to, &Options::default()).unwrap();
    let (client, server) = (client.await.unwrap(), listener.async_accept().await.unwrap());
    let receives = server.async_recv(attachment.register_receive_mem(1 << 20).unwrap()).unwrap();
    let mut buffer = attachment.register_mem(8 << 20).unwrap();
    buffer.fill(7);
    let mut sends = client.async_send(buffer, 0..8 << 20).unwrap();
    let (count, mut buffer) = receives.await;
    let mut received = count.unwrap();
    while received < 8 << 20 {
        let (count, back) = server.async_recv(buffer).unwrap().await;
        received += count.unwrap();
        buffer = back;
    }
    assert_eq!((&mut sends).await.0.unwrap(), 8 << 20);
}

#[test]
fn futures_are_woken_by_a_thread() {
    let real = Real::start();
    block_on(talk(&attach(&real)));
}

#[test]
fn futures_are_woken_by_who_drives_the_reactor() {
    let real = Real::start();
    let attachment = attach(&real);
    let reactor = attachment.reactor().unwrap();
    let mut future = pin!(talk(&attachment));
    let mut context = Context::from_waker(Waker::noop());
    while future.as_mut().poll(&mut context).is_pending() {
        reactor.turn(soon()).unwrap();
    }
}

#[test]
fn a_stream_is_one_of_tokios() {
    let real = Real::start();
    let attachment = attach(&real);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let listener = Listener::bind(&attachment, any(), &Options::default()).unwrap();
        let to = listener.local_addr().unwrap();
        let client = Socket::async_connect(&attachment, to, &Options::default()).unwrap().await.unwrap();
        let mut client = memnet::Stream::from(client);
        let mut server = memnet::Stream::from(listener.async_accept().await.unwrap());
        let sent = vec![3; 3_000_000];
        let writes = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let mut octets = Vec::new();
        let (read, ()) = tokio::join!(server.read_to_end(&mut octets), writes);
        assert_eq!(read.unwrap(), 3_000_000);
        assert!(octets == sent);
        assert!(!client.socket().channel().slot().server_waited_for(), "nobody waits any more");
    });
}

#[test]
fn a_queue_in_somebody_elses_event_loop_is_rung() {
    let (_real, attachment, socket, mut peer) = connected();
    let queue = Queue::open(&attachment).unwrap();
    queue.subscribe(socket.channel(), false);
    let mut told = Vec::new();
    queue.take(|slot| told.push(slot));
    let may_sleep = queue.sleep();
    peer.write_all(b"x").unwrap();
    if may_sleep {
        let mut rung = [rustix::event::PollFd::from_borrowed_fd(queue.doorbell(), rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut rung, None).unwrap();
    }
    queue.wake();
    queue.drain().unwrap();
    while told.is_empty() {
        queue.take(|slot| told.push(slot));
        if told.is_empty() {
            assert_eq!(queue.wait(soon()).unwrap(), Wait::Told);
        }
    }
    assert!(told.contains(&socket.channel().number()));
    assert_eq!(socket.try_recv(&mut [0; 8]).unwrap(), 1);
    assert_eq!(socket.try_recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn what_is_not_received_eagerly_is_received_when_it_is_wanted() {
    let settings = afpa_tcp_server::Settings {
        eager_receive: 0,
        notify: afpa_tcp_server::Notify::Interrupt,
        ..afpa_tcp_server::Settings::default()
    };
    let real = Real::with(settings);
    let attachment = attach(&real);
    let listener = Listener::bind(&attachment, any(), &Options::default()).unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = listener.sync_accept(soon()).unwrap();
    peer.write_all(b"lazy").unwrap();
    let mut octets = [0; 8];
    assert_eq!(socket.sync_recv(&mut octets[..2], soon()).unwrap(), 2);
    assert_eq!(socket.sync_recv(&mut octets[2..], soon()).unwrap(), 2);
    assert_eq!(&octets[..4], b"lazy");
}
