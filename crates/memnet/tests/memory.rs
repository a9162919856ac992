//! Registered memory: whose it is, how much of it there may be, and that it comes back.

mod support;

use std::io::ErrorKind;

use memnet::{Options, Socket};
use rustix::io::Errno;
use support::{MOST_MEMORY, Server};

#[test]
fn memory_beyond_the_limit_is_refused_and_comes_back() {
    let server = Server::start();
    let attachment = server.attach();
    let all = attachment.register_mem(MOST_MEMORY as usize).unwrap();
    assert_eq!(attachment.register_mem(4096).unwrap_err().kind(), ErrorKind::OutOfMemory);
    assert_eq!(attachment.register_receive_mem(4096).unwrap_err().kind(), ErrorKind::OutOfMemory);
    attachment.deregister_mem(all).unwrap();
    assert_eq!(server.registered(), (0, 0));
    let some = attachment.register_receive_mem(MOST_MEMORY as usize).unwrap();
    drop(some);
    assert_eq!(server.registered(), (0, 0));
    assert!(attachment.register_mem(0).is_err());
    assert!(attachment.register_receive_mem(0).is_err());
}

#[test]
fn memory_is_given_up_when_its_last_part_is() {
    let server = Server::start();
    let attachment = server.attach();
    let mut first = attachment.register_mem(8192).unwrap();
    let behind = first.split_off(4096);
    let error = attachment.deregister_mem(first).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::BUSY));
    assert_eq!((server.registered(), behind.len()), ((1, 0), 4096));
    drop(behind);
    assert_eq!(server.registered(), (0, 0));
}

#[test]
fn memory_in_a_job_stays_registered() {
    let server = Server::start();
    let attachment = server.attach();
    let to = "127.0.0.1:9".parse().unwrap();
    let socket = Socket::start_to_connect(&attachment, to, &Options::default()).unwrap();
    server.connects(socket.channel().number());
    let frozen = attachment.register_mem(4096).unwrap().freeze();
    let job = socket.async_send(frozen.clone(), 0..10).unwrap();
    assert!(attachment.deregister_mem(frozen).is_err());
    assert_eq!(server.registered(), (1, 0));
    server.does_job(socket.channel().number());
    let (_, frozen) = job.wait();
    attachment.deregister_mem(frozen).unwrap();
    assert_eq!(server.registered(), (0, 0));
}

#[test]
fn received_memory_is_copied_split_and_joined() {
    let attachment = Server::start().attach();
    let mut first = attachment.register_receive_mem(100).unwrap();
    first.write_at(48, b"1234");
    let mut second = first.split_off(50);
    let mut octets = [0; 2];
    second.read_at(0, &mut octets);
    assert_eq!((first.len(), second.len(), &octets), (50, 50, b"34"));
    let third = second.split_off(25);
    let third = first.join(third).unwrap_err();
    first.join(second).unwrap();
    first.join(third).unwrap();
    assert_eq!(first.len(), 100);
}

#[test]
#[should_panic(expected = "beyond the buffer's end")]
fn nothing_is_read_of_a_neighbours_part() {
    let attachment = Server::start().attach();
    let mut first = attachment.register_receive_mem(100).unwrap();
    let _behind = first.split_off(50);
    first.read_at(40, &mut [0; 20]);
}

#[test]
fn memory_of_another_attachment_is_not_sent() {
    let (server, other) = (Server::start(), Server::start());
    let attachment = server.attach();
    let to = "127.0.0.1:9".parse().unwrap();
    let socket = Socket::start_to_connect(&attachment, to, &Options::default()).unwrap();
    server.connects(socket.channel().number());
    let strange = other.attach().register_mem(64).unwrap();
    assert_eq!(socket.async_send(strange, 0..64).unwrap_err().error.kind(), ErrorKind::InvalidInput);
}
