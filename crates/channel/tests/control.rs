//! Packets of the control socket, whole and otherwise. What becomes of descriptors that are passed is seen at the other
//! end of pipes: it is at its end when nobody has them any more.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use afpa_channel::control::{
    self, Content, MAX_DESCRIPTORS, MAX_PACKET, Reply, Request, Sender, VERSION, ask, connect_to, receive, send,
};
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg, socketpair,
};

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// Sends what the crate itself would not.
fn send_raw(socket: &OwnedFd, octets: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(250))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    sendmsg(socket, &[IoSlice::new(octets)], &mut ancillary, SendFlags::NOSIGNAL).unwrap();
}

fn requests() -> Vec<Request> {
    vec![
        Request::Attach { version: VERSION, name: "a server of pages".into() },
        Request::Fork,
        Request::Join { version: VERSION, token: [7; 16], process: 3 },
        Request::OpenQueue,
        Request::CloseQueue { queue: 255 },
        Request::Listen { backlog: u32::MAX },
        Request::Connect { to: "10.1.2.3:80".parse().unwrap() },
        Request::Connect { to: "[fe80::1%7]:443".parse().unwrap() },
        Request::Register { length: u64::MAX },
        Request::Grant { length: 4096 },
        Request::Deregister { memory: 0 },
        Request::OpenFile,
        Request::CloseFile { file: 9 },
        Request::Status,
        Request::Publish { key: b"/style.css".to_vec(), from: Content::Passed { length: 9 } },
        Request::Publish { key: vec![0xff; 1024], from: Content::Memory { memory: 1, offset: 2, length: 3 } },
        Request::Publish { key: vec![], from: Content::File { file: 4, offset: u64::MAX, length: u64::MAX } },
        Request::FindObject { key: vec![0, 1, 2] },
        Request::CloseObject { object: 7 },
        Request::Purge { key: b"/style.css".to_vec() },
    ]
}

fn replies() -> Vec<Reply> {
    vec![
        Reply::Welcome { token: [0xff; 16], process: 0, sender: Sender::Application },
        Reply::Incoming,
        Reply::Forked { process: 1 },
        Reply::Queue { queue: 2 },
        Reply::Listening { slots: vec![] },
        Reply::Listening { slots: (0..64).collect() },
        Reply::Connecting { slot: 65535 },
        Reply::Registered { memory: 4 },
        Reply::Granted { memory: 5, offset: 8192 },
        Reply::File { file: 5 },
        Reply::Done,
        Reply::Status("{}".repeat(1000)),
        Reply::Refused { errno: -1, reason: "no room for it".into() },
        Reply::Object { object: 8, length: 9 },
    ]
}

#[test]
fn every_message_comes_as_it_was_sent() {
    let (near, far) = pair();
    for request in requests() {
        send(near.as_fd(), &request, &[]).unwrap();
        assert_eq!(receive::<Request>(far.as_fd()).unwrap().unwrap().0, request);
    }
    for reply in replies() {
        send(far.as_fd(), &reply, &[]).unwrap();
        assert_eq!(receive::<Reply>(near.as_fd()).unwrap().unwrap().0, reply);
    }
}

#[test]
fn descriptors_come_in_their_order_and_close_on_exec() {
    let (near, far) = pair();
    for count in [1, 2, MAX_DESCRIPTORS] {
        let pipes: Vec<_> = (0..count).map(|_| rustix::pipe::pipe().unwrap()).collect();
        let writers: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
        send(near.as_fd(), &Request::OpenFile, &writers).unwrap();
        let (_, descriptors) = receive::<Request>(far.as_fd()).unwrap().unwrap();
        assert_eq!(descriptors.len(), count);
        for (number, (descriptor, (reader, writer))) in descriptors.into_iter().zip(pipes).enumerate() {
            drop(writer);
            assert!(rustix::io::fcntl_getfd(&descriptor).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
            rustix::io::write(&descriptor, &[number as u8]).unwrap();
            drop(descriptor);
            let mut octets = Vec::new();
            File::from(reader).read_to_end(&mut octets).unwrap();
            assert_eq!(octets, [number as u8]);
        }
    }
}

/// Sends octets with so many descriptors, and has them refused; nothing of them is left open.
fn is_refused(octets: &[u8], count: usize) {
    let (near, far) = pair();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    send_raw(&near, octets, &vec![writer.as_fd(); count]);
    drop(writer);
    let error = receive::<Request>(far.as_fd()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    let mut left = [PollFd::new(&reader, PollFlags::empty())];
    rustix::event::poll(&mut left, Some(&Timespec::default())).unwrap();
    assert!(left[0].revents().contains(PollFlags::HUP), "somebody still has what was passed");
    // What comes next is whole.
    send(near.as_fd(), &Request::Fork, &[]).unwrap();
    assert_eq!(receive::<Request>(far.as_fd()).unwrap().unwrap().0, Request::Fork);
}

#[test]
fn what_is_no_message_is_refused_and_its_descriptors_closed() {
    let fork = [1];
    for count in [0, 1, 60] {
        is_refused(&[0xff; 40], count);
        is_refused(&[fork.as_slice(), &[0]].concat(), count);
        // A name that is longer than the packet.
        is_refused(&[0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, b'a'], count);
    }
    for request in requests() {
        let (near, far) = pair();
        send(near.as_fd(), &request, &[]).unwrap();
        let mut octets = vec![0; MAX_PACKET];
        let length = rustix::io::read(&far, &mut octets).unwrap();
        (1..length).for_each(|length| is_refused(&octets[..length], 1));
    }
}

#[test]
fn too_many_descriptors_are_refused_and_closed() {
    let fork = [1];
    for count in MAX_DESCRIPTORS + 1..MAX_DESCRIPTORS + 8 {
        is_refused(&fork, count);
    }
    is_refused(&fork, 250);
}

#[test]
fn a_packet_that_is_too_long_is_refused() {
    let mut octets = vec![b'a'; MAX_PACKET + 1];
    // A message that is whole within what fits.
    octets[0] = 1;
    is_refused(&octets, 3);
    let length = (MAX_PACKET - 5) as u32;
    let name = "a".repeat(length as usize);
    let (near, far) = pair();
    let longest = Request::Attach { version: 1, name };
    send(near.as_fd(), &longest, &[]).unwrap();
    assert_eq!(receive::<Request>(far.as_fd()).unwrap().unwrap().0, longest);
    let longer = Request::Attach { version: 1, name: "a".repeat(MAX_PACKET) };
    assert_eq!(send(near.as_fd(), &longer, &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let many = vec![near.as_fd(); MAX_DESCRIPTORS + 1];
    assert_eq!(send(near.as_fd(), &Request::Fork, &many).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_end_is_told_from_a_message() {
    let (near, far) = pair();
    send(near.as_fd(), &Request::Fork, &[]).unwrap();
    drop(near);
    assert!(receive::<Request>(far.as_fd()).unwrap().is_some());
    assert!(receive::<Request>(far.as_fd()).unwrap().is_none());
    let error = send(far.as_fd(), &Reply::Done, &[]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let (near, far) = pair();
    send_raw(&near, &[], &[near.as_fd()]);
    assert!(receive::<Request>(far.as_fd()).unwrap().is_none(), "an empty packet");
}

#[test]
fn a_refusal_is_an_error_and_so_is_a_server_that_goes() {
    let (near, far) = pair();
    let refused = Reply::Refused { errno: rustix::io::Errno::ACCESS.raw_os_error(), reason: "not you".into() };
    send(far.as_fd(), &refused, &[]).unwrap();
    let error = ask(near.as_fd(), &Request::Status, &[]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    send(far.as_fd(), &Reply::Done, &[]).unwrap();
    assert_eq!(ask(near.as_fd(), &Request::OpenFile, &[]).unwrap().0, Reply::Done);
    // It reads what it is asked, and goes.
    while let Some((request, _)) = {
        rustix::io::ioctl_fionbio(&far, true).unwrap();
        receive::<Request>(far.as_fd()).unwrap_or(None)
    } {
        assert!([Request::Status, Request::OpenFile].contains(&request));
    }
    rustix::net::shutdown(&far, rustix::net::Shutdown::Write).unwrap();
    assert_eq!(ask(near.as_fd(), &Request::Fork, &[]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_path_at_which_nobody_listens_is_an_error() {
    assert!(connect_to(std::path::Path::new("/nonexistent/control")).is_err());
    assert!(connect_to(std::path::Path::new(&"a".repeat(200))).is_err());
}

proptest! {
    #[test]
    fn any_octets_are_a_message_or_refused(octets in prop::collection::vec(any::<u8>(), 1..200)) {
        afpa_channel::fuzz::packet(&octets);
        let (near, far) = pair();
        send_raw(&near, &octets, &[near.as_fd()]);
        match receive::<Request>(far.as_fd()) {
            Ok(message) => prop_assert_eq!(message.unwrap().1.len(), 1),
            Err(error) => prop_assert_eq!(error.kind(), io::ErrorKind::InvalidData),
        }
    }

    #[test]
    fn addresses_and_names_come_as_they_were_sent(
        name in ".{0,80}", ip: std::net::Ipv6Addr, port: u16, scope: u32, slots: Vec<u32>,
    ) {
        let (near, far) = pair();
        let to = std::net::SocketAddrV6::new(ip, port, 0, scope).into();
        for request in [Request::Attach { version: 9, name: name.clone() }, Request::Connect { to }] {
            send(near.as_fd(), &request, &[]).unwrap();
            prop_assert_eq!(receive::<Request>(far.as_fd()).unwrap().unwrap().0, request);
        }
        let reply = Reply::Listening { slots };
        control::send(far.as_fd(), &reply, &[]).unwrap();
        prop_assert_eq!(receive::<Reply>(near.as_fd()).unwrap().unwrap().0, reply);
    }
}
