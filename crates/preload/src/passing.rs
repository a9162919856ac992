//! Sockets that are passed over Unix sockets (unix(7), SCM_RIGHTS). In place of the descriptor, which means nothing to
//! another process, a memfd goes that says what it is, as for a program that is executed. A connection on which programs
//! send by themselves has to go as well: then a Unix socket goes in which both lie.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::SealFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};

use crate::application::Application;
use crate::inheritance::{self, MAGIC, Will};
use crate::offload;
use crate::raw;
use crate::table::{self, Closing, Kind};

/// What says of one socket what it is has no more octets.
const TEXT: usize = 256;

/// What is sent for a descriptor. `None`: itself.
pub(crate) fn instead_of(descriptor: RawFd) -> Option<Will> {
    let entry = table::get(descriptor).filter(|entry| entry.is_socket())?;
    let mut will = Will::of(vec![(0, entry)])?;
    let sends = entry.kind == Kind::Stream && Application::of(entry.application).is_some_and(Application::sends);
    if sends {
        match in_a_socket(&will, descriptor) {
            Some(both) => will.table = both,
            None => {
                will.revoke();
                return None;
            }
        }
    } else {
        // So it can be told from other files.
        rustix::fs::fcntl_add_seals(&will.table, SEALS).ok()?;
    }
    Some(will)
}

const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

/// A Unix socket whose peer is gone, with what the will says and the kernel's socket still to be received.
fn in_a_socket(will: &Will, descriptor: RawFd) -> Option<OwnedFd> {
    let mut octets = [0; TEXT];
    let count = rustix::io::pread(&will.table, &mut octets, 0).ok()?;
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).ok()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sockets = [raw::borrow(descriptor).ok()?];
    ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
    sendmsg(&near, &[IoSlice::new(&octets[..count])], &mut ancillary, SendFlags::NOSIGNAL).ok()?;
    Some(far)
}

/// A descriptor has come. If it stands for a socket, it becomes that.
pub(crate) fn received(descriptor: RawFd) {
    let Ok(file) = raw::borrow(descriptor) else { return };
    if !offload::is_wanted() {
        return;
    }
    let _ours = Closing::new();
    let (text, socket) = if rustix::fs::fcntl_get_seals(file) == Ok(SEALS) {
        let mut octets = [0; TEXT];
        let Ok(count) = rustix::io::pread(file, &mut octets, 0) else { return };
        (octets[..count].to_vec(), None)
    } else {
        let Some((text, socket)) = out_of_a_socket(file) else { return };
        (text, Some(socket))
    };
    let Some((bequest, entries)) = std::str::from_utf8(&text).ok().and_then(inheritance::decode) else { return };
    let ([(_, entry)], Ok(flags)) = (&entries[..], raw::fcntl(descriptor, libc::F_GETFD, 0)) else { return };
    let Some(entry) = inheritance::claim(bequest, *entry) else { return };
    let own = socket.or_else(|| offload::placeholder(true).ok());
    if own.is_some_and(|own| over(&own, descriptor, flags)) {
        table::put(descriptor, Some(entry));
    } else {
        offload::release(Some(entry));
    }
}

/// What was put [in a socket](in_a_socket). `None`: it is another socket, and is left as it is.
fn out_of_a_socket(file: BorrowedFd<'_>) -> Option<(Vec<u8>, OwnedFd)> {
    let is = |name, value| raw::option(file.as_raw_fd(), libc::SOL_SOCKET, name) == Ok(value);
    if !is(libc::SO_TYPE, libc::SOCK_SEQPACKET) || !is(libc::SO_DOMAIN, libc::AF_UNIX) {
        return None;
    }
    let mut octets = [0; TEXT];
    let (_, count) = recv(file, &mut octets[..], RecvFlags::PEEK | RecvFlags::DONTWAIT).ok()?;
    if !octets[..count.min(TEXT)].starts_with(MAGIC.as_bytes()) {
        return None;
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(file, &mut [IoSliceMut::new(&mut octets)], &mut ancillary, flags).ok()?;
    let socket = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    })?;
    Some((octets[..received.bytes].to_vec(), socket))
}

/// What it is takes the number of what has come.
fn over(own: &OwnedFd, descriptor: RawFd, flags: usize) -> bool {
    let flags = if flags & libc::FD_CLOEXEC as usize != 0 { libc::O_CLOEXEC } else { 0 };
    raw::duplicate_over(own.as_raw_fd(), descriptor, flags).is_ok()
}
