//! Accepted connections' own sockets, for an application that [sends](crate::control::Sender) itself.
//!
//! Beside the ring of a listening slot there is a pair of Unix sockets, of which the server has one and every process that
//! accepts has the other. Before a connection is put into the ring, its socket is put into the pair. Who takes it out of the
//! ring, which one process does at a time, then takes its socket: what is in the pair for connections before it is what a
//! process has left there that was killed in between, and is closed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::layout::ACCEPTED;
use crate::slot::Accepted;

/// Connections whose sockets may be in a pair at once: as many as its default buffer certainly holds.
pub const MOST: usize = 128;

/// A pair: the server's end, and the application's.
///
/// # Errors
/// No descriptor is left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// For the server: puts a connection's socket there.
///
/// # Errors
/// `WouldBlock`: there is no room. `ETOOMANYREFS`: as many are on their way as may be.
pub fn put(pair: BorrowedFd<'_>, accepted: Accepted, socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sockets = [socket];
    ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    retry_on_intr(|| sendmsg(pair, &[IoSlice::new(&accepted.encode())], &mut ancillary, flags))?;
    Ok(())
}

/// For the application: takes the socket of the connection that has just left the ring.
///
/// # Errors
/// `EMFILE`: the process has no descriptor left for it, and it is lost. `ECONNRESET`: the server has put none there.
pub fn take(pair: BorrowedFd<'_>, accepted: Accepted, close_on_exec: bool) -> io::Result<OwnedFd> {
    let mut flags = RecvFlags::DONTWAIT;
    flags.set(RecvFlags::CMSG_CLOEXEC, close_on_exec);
    loop {
        let mut octets = [0; ACCEPTED];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut pieces = [IoSliceMut::new(&mut octets)];
        let received = match retry_on_intr(|| recvmsg(pair, &mut pieces, &mut ancillary, flags)) {
            Ok(received) if received.bytes == ACCEPTED => received,
            _ => return Err(Errno::CONNRESET.into()),
        };
        let socket = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
            _ => None,
        });
        debug_assert_eq!(received.bytes, ACCEPTED);
        if Accepted::decode(octets) == accepted {
            return socket.ok_or_else(|| Errno::MFILE.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::net::{recv, send};

    use super::*;

    #[test]
    fn who_takes_a_connection_gets_its_socket_and_closes_what_was_left_before() {
        let (near, far) = pair().unwrap();
        let accepted = |slot| Accepted { slot, generation: 7 };
        let put_one = |slot| {
            let (socket, peer) = pair().unwrap();
            put(near.as_fd(), accepted(slot), socket.as_fd()).unwrap();
            peer
        };
        let (left, wanted) = (put_one(1), put_one(2));
        let taken = take(far.as_fd(), accepted(2), true).unwrap();
        send(&taken, b"here", SendFlags::empty()).unwrap();
        let mut octets = [0; 8];
        assert_eq!(recv(&wanted, &mut octets[..], RecvFlags::empty()).unwrap().1, 4);
        assert_eq!(recv(&left, &mut octets[..], RecvFlags::empty()).unwrap().1, 0, "nobody has it");
        assert!(take(far.as_fd(), accepted(3), true).is_err());
    }

    #[test]
    fn as_many_as_there_may_be_have_room() {
        let (near, _far) = pair().unwrap();
        let (socket, _peer) = pair().unwrap();
        for slot in 0..MOST as u32 {
            put(near.as_fd(), Accepted { slot, generation: 1 }, socket.as_fd()).unwrap();
        }
    }
}
