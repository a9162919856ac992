//! Jobs, each state by each event: posted, done, cancelled; the connection fails, the server goes.

mod support;

use std::io::ErrorKind;
use std::thread;

use afpa_channel::job_ring::Received;
use memnet::{Attachment, Job, Options, Socket, wait_any};
use rustix::io::Errno;
use std::sync::Arc;
use support::{Server, now, soon, until};

const JOBS: usize = 16;

fn connected(server: &Server, attachment: &Arc<Attachment>) -> Socket {
    let socket =
        Socket::start_to_connect(attachment, "127.0.0.1:9".parse().unwrap(), &Options::default()).expect("connects");
    server.connects(socket.channel().number());
    socket
}

fn start() -> (Server, Arc<Attachment>, Socket, u32) {
    let server = Server::start();
    let attachment = server.attach();
    let socket = connected(&server, &attachment);
    let slot = socket.channel().number();
    (server, attachment, socket, slot)
}

fn errno(error: &std::io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

#[test]
fn a_send_is_done_when_the_server_says_so_and_gives_its_buffer_back() {
    let (server, attachment, socket, slot) = start();
    let mut buffer = attachment.register_mem(4096).unwrap();
    buffer[10..15].copy_from_slice(b"hello");
    let mut job = socket.async_send(buffer, 10..15).unwrap();
    assert!(!job.job_done());
    assert_eq!(job.job_wait(now()).unwrap_err().kind(), ErrorKind::TimedOut);
    let job = job.finish().unwrap_err();
    assert_eq!(server.does_job(slot), b"hello");
    let (result, mut buffer) = job.finish().unwrap();
    assert_eq!(result.unwrap(), 5);
    buffer[10] = b'H';
    let job = socket.async_send(buffer, 10..11).unwrap();
    assert_eq!(server.does_job(slot), b"H");
    assert_eq!(job.wait().0.unwrap(), 1);
}

#[test]
fn who_waits_for_a_send_is_woken() {
    let (server, attachment, socket, slot) = start();
    let buffer = attachment.register_mem(4096).unwrap();
    let mut job = socket.async_send(buffer, 0..4096).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| job.job_wait(soon()).unwrap());
        until("somebody waits", || server.slot(slot).server_waited_for());
        assert!(!job_is_done(&socket));
        server.does_job(slot);
    });
    assert!(!server.slot(slot).server_waited_for(), "nobody waits any more");
}

fn job_is_done(socket: &Socket) -> bool {
    socket.channel().slot().jobs_done() > 0
}

#[test]
fn sends_keep_their_order_with_what_is_copied() {
    let (server, attachment, socket, slot) = start();
    let buffer = attachment.register_mem(100).unwrap().freeze();
    assert_eq!(socket.sync_send(b"before", soon()).unwrap(), 6);
    socket.post(&buffer, 0..100).unwrap();
    assert_eq!(socket.sync_send(b"behind", soon()).unwrap(), 6);
    assert_eq!(server.slot(slot).server_job(0).unwrap().after, 6);
    assert_eq!(server.sends(slot), b"beforebehind");
}

#[test]
fn so_many_jobs_and_no_more() {
    let (server, attachment, socket, slot) = start();
    let memory = attachment.register_mem(64).unwrap().freeze();
    let mut jobs: Vec<_> = (0..JOBS).map(|at| socket.async_send(memory.part(at..at + 1), 0..1).unwrap()).collect();
    let refused = socket.async_send(memory.clone(), 0..1).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::WouldBlock);
    assert_eq!(refused.buffer.len(), 64);
    server.does_job(slot);
    let last = socket.async_send(refused.buffer, 0..1).unwrap();
    let mut any: Vec<&mut dyn Job> = jobs.iter_mut().map(|job| job as &mut dyn Job).collect();
    assert_eq!(wait_any(&mut any, now()).unwrap(), 0);
    assert_eq!(wait_any(&mut any[1..], now()).unwrap_err().kind(), ErrorKind::TimedOut);
    server.does_job(slot);
    assert_eq!(wait_any(&mut any[1..], soon()).unwrap(), 0);
    drop(last);
}

#[test]
fn the_first_of_several_connections_jobs_is_found() {
    let (server, attachment, first, _) = start();
    let second = connected(&server, &attachment);
    let memory = attachment.register_mem(64).unwrap().freeze();
    let mut one = first.async_send(memory.clone(), 0..1).unwrap();
    let mut other = second.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap();
    thread::scope(|scope| {
        let found = scope.spawn(|| wait_any(&mut [&mut one, &mut other], soon()).unwrap());
        let slot = second.channel().number();
        until("somebody waits", || server.slot(slot).server_waited_for());
        server.does_receive(slot, Ok(b"x"));
        assert_eq!(found.join().unwrap(), 1);
    });
    assert_eq!(wait_any(&mut [], soon()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn what_a_connection_that_fails_has_not_sent_fails() {
    let (server, attachment, socket, slot) = start();
    let memory = attachment.register_mem(64).unwrap().freeze();
    let [sent, lost] = [0, 1].map(|_| socket.async_send(memory.clone(), 0..1).unwrap());
    server.does_job(slot);
    server.fails(slot, 104);
    assert_eq!(sent.wait().0.unwrap(), 1);
    assert_eq!(lost.wait().0.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let refused = socket.async_send(memory, 0..1).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_server_that_goes_ends_everything() {
    let (server, attachment, socket, _) = start();
    let other = connected(&server, &attachment);
    let memory = attachment.register_mem(64).unwrap();
    let mut polled = socket.async_send(memory, 0..64).unwrap();
    let waits = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| waits.wait());
        let slot = socket.channel().number();
        until("somebody waits", || server.slot(slot).server_waited_for());
        server.die();
        let (result, buffer) = waits.join().unwrap();
        assert_eq!((result.unwrap_err().kind(), buffer.len()), (ErrorKind::ConnectionReset, 64));
    });
    until("who polls learns it", || polled.job_done());
    let (result, mut memory) = polled.finish().unwrap();
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
    memory[0] = 1;
    assert!(attachment.is_lost());
    assert_eq!(other.sync_recv(&mut [0; 8], soon()).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(other.sync_send(b"x", soon()).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(attachment.register_mem(64).is_err());
}

#[test]
fn who_only_polls_learns_that_the_server_is_gone() {
    let (server, attachment, socket, _) = start();
    let mut job = socket.async_send(attachment.register_mem(64).unwrap(), 0..64).unwrap();
    server.die();
    until("it is learnt", || job.job_done());
    assert_eq!(job.wait().0.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_receive_gets_what_comes() {
    let (server, attachment, socket, slot) = start();
    let mut job = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap();
    assert!(!job.job_done());
    assert_eq!(errno(&socket.sync_recv(&mut [0; 8], soon()).unwrap_err()), Some(Errno::ALREADY));
    let second = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap_err();
    assert_eq!((errno(&second.error), second.buffer.len()), (Some(Errno::ALREADY), 64));
    server.does_receive(slot, Ok(b"hello"));
    let (count, buffer) = job.wait();
    let mut octets = [0; 5];
    buffer.read_at(0, &mut octets);
    assert_eq!((count.unwrap(), &octets), (5, b"hello"));
    server.delivers(slot, b"more");
    assert_eq!(socket.sync_recv(&mut octets, soon()).unwrap(), 4);
}

#[test]
fn what_was_received_eagerly_comes_first() {
    let (server, attachment, socket, slot) = start();
    server.delivers(slot, b"eager");
    // It is there: nothing is posted.
    let (count, buffer) = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap().finish().unwrap();
    assert_eq!(count.unwrap(), 5);
    // It arrives while the receive is posted.
    let mut job = socket.async_recv(buffer).unwrap();
    server.delivers(slot, b"again");
    server.does_receive(slot, Err(Received::InRing));
    job.job_wait(soon()).unwrap();
    let (count, buffer) = job.finish().unwrap();
    let mut octets = [0; 5];
    buffer.read_at(0, &mut octets);
    assert_eq!((count.unwrap(), &octets), (5, b"again"));
}

#[test]
fn a_receive_ends_with_the_stream_and_with_the_connection() {
    let (server, attachment, socket, slot) = start();
    let job = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap();
    server.does_receive(slot, Err(Received::Octets(0)));
    let (count, buffer) = job.wait();
    assert_eq!(count.unwrap(), 0);
    let job = socket.async_recv(buffer).unwrap();
    server.fails(slot, 104);
    let (count, buffer) = job.wait();
    assert_eq!(count.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let (count, buffer) = socket.async_recv(buffer).unwrap().wait();
    assert_eq!(count.unwrap_err().kind(), ErrorKind::ConnectionReset);
    drop((server, attachment, socket, buffer));
}

#[test]
fn a_receive_is_cancelled() {
    let (server, attachment, socket, slot) = start();
    let job = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap();
    assert!(!server.slot(slot).server_is_cancelled(0));
    job.cancel();
    assert!(server.slot(slot).server_is_cancelled(0));
    assert!(!server.slot(slot).server_is_cancelled(1));
    server.does_receive(slot, Err(Received::Cancelled));
    let (count, buffer) = job.wait();
    assert_eq!(errno(&count.unwrap_err()), Some(Errno::CANCELED));
    // One that is dropped: the next waits for its end.
    drop(socket.async_recv(buffer).unwrap());
    assert!(server.slot(slot).server_is_cancelled(1));
    let refused = socket.async_recv(attachment.register_receive_mem(64).unwrap()).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::WouldBlock);
    thread::scope(|scope| {
        let received = scope.spawn(|| socket.sync_recv(&mut [0; 8], soon()).unwrap());
        until("somebody waits", || server.slot(slot).server_waited_for());
        server.does_receive(slot, Err(Received::Cancelled));
        server.delivers(slot, b"x");
        assert_eq!(received.join().unwrap(), 1);
    });
}

#[test]
fn a_connection_is_aborted() {
    let (server, attachment, socket, slot) = start();
    let job = socket.async_send(attachment.register_mem(64).unwrap(), 0..64).unwrap();
    socket.abort();
    assert_eq!(server.slot(slot).commands(), afpa_channel::slot::command::ABORT);
    server.fails(slot, Errno::CONNABORTED.raw_os_error() as u32);
    assert_eq!(job.wait().0.unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn a_socket_is_closed_behind_its_last_job() {
    let (server, attachment, socket, slot) = start();
    let job = socket.async_send(attachment.register_mem(64).unwrap(), 0..64).unwrap();
    socket.close();
    assert_eq!(server.slot(slot).commands(), 0);
    server.does_job(slot);
    drop(job.wait());
    assert_eq!(server.slot(slot).commands(), afpa_channel::slot::command::CLOSE);
}

#[test]
fn a_file_is_sent() {
    let (server, attachment, socket, slot) = start();
    let path = server.path().with_file_name("file");
    support::write(&path, b"a file's octets");
    let file = attachment.open_file(std::os::fd::AsFd::as_fd(&std::fs::File::open(path).unwrap())).unwrap();
    let job = socket.send_file(&file, 2, 4).unwrap();
    assert_eq!(server.does_job(slot), b"file");
    assert_eq!(job.wait().0.unwrap(), 4);
    assert_eq!(server.registered(), (0, 1));
    drop(file);
    assert_eq!(server.registered(), (0, 0));
}
