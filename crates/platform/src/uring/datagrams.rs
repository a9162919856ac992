//! Datagrams of many peers on one socket, received into buffers of their own.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

use super::buffers::Buffers;
use super::{Kind, Ring, Token, tag};
use crate::datagram::{Arrival, CONTROL, Datagram, NAME, destination, empty_header, socket_address};

/// The longest datagram that [`Ring::receive_datagrams`] takes whole, in octets.
pub const MAX_DATAGRAM: usize = 4096;
/// Datagrams that a pass can receive; what comes beyond them waits in the socket's queue.
const BUFFERED: u16 = 512;

/// What the kernel writes in front of these.
const HEADER: usize = 16;

/// Where datagrams arrive.
pub(super) struct Inbox {
    pub(super) buffers: Buffers,
    /// What RECVMSG is told: without and with room for the destination.
    plain: Box<libc::msghdr>,
    informed: Box<libc::msghdr>,
}

/// A datagram in a buffer of the ring. Give it back with [`Ring::recycle_datagram`].
#[derive(Debug)]
#[must_use]
pub struct ReceivedDatagram {
    pub(super) buffer: u16,
    pub(super) length: u32,
    pub(super) is_informed: bool,
}

impl Ring {
    /// Receives the datagrams of a socket that is not connected, until an error or a lack of buffers. With
    /// `is_informed` the socket is one that [`tell_destination`](crate::datagram::tell_destination) was called for.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn receive_datagrams(&mut self, token: Token, socket: BorrowedFd<'_>, is_informed: bool) -> io::Result<()> {
        let inbox = match &mut self.inbox {
            Some(inbox) => inbox,
            none => none.insert(Inbox::register(&self.ring)?),
        };
        let (header, group) = inbox.header(is_informed);
        let kind = if is_informed { Kind::ReceiveInformed } else { Kind::ReceiveDatagram };
        let receive = opcode::RecvMsgMulti::new(Fd(socket.as_raw_fd()), header, group);
        self.push(receive.build().user_data(tag(token, kind)));
        Ok(())
    }

    /// Sends a datagram, unless that would have to wait.
    pub fn send_datagram(&mut self, socket: BorrowedFd<'_>, datagram: Box<Datagram>) {
        let index = self.free_datagrams.pop().unwrap_or_else(|| {
            self.datagrams.push(None);
            (self.datagrams.len() - 1) as u32
        });
        let datagram = self.datagrams[index as usize].insert(datagram);
        let (fd, flags) = (Fd(socket.as_raw_fd()), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
        let entry = if datagram.is_plain() {
            let (name, length) = datagram.name();
            opcode::Send::new(fd, datagram.octets.as_ptr(), datagram.octets.len() as u32)
                .dest_addr(name)
                .dest_addr_len(length)
                .flags(flags)
                .build()
        } else {
            opcode::SendMsg::new(fd, datagram.message()).flags(flags as u32).build()
        };
        self.started += 1;
        self.push(entry.user_data(tag(Token::from(index), Kind::SendDatagram)));
    }

    /// What arrived; `None` if it cannot be understood.
    pub fn arrival(&self, received: &ReceivedDatagram) -> Option<Arrival<'_>> {
        self.inbox.as_ref()?.arrival(received)
    }

    /// Gives a datagram's buffer back.
    pub fn recycle_datagram(&mut self, received: ReceivedDatagram) {
        if let Some(inbox) = &mut self.inbox {
            inbox.buffers.recycle(received.buffer);
        }
    }
}

impl Inbox {
    const GROUP: u16 = 1;

    /// # Errors
    /// The memory cannot be had, or is not taken by the ring.
    pub(super) fn register(ring: &IoUring) -> io::Result<Inbox> {
        let size = (HEADER + NAME + CONTROL + MAX_DATAGRAM).next_multiple_of(64);
        let buffers = Buffers::register(ring, Inbox::GROUP, BUFFERED, size)?;
        let header = |control: usize| {
            let mut header = empty_header();
            (header.msg_namelen, header.msg_controllen) = (NAME as u32, control);
            Box::new(header)
        };
        Ok(Inbox { buffers, plain: header(0), informed: header(CONTROL) })
    }

    /// What RECVMSG reads, for as long as this lives.
    pub(super) fn header(&self, is_informed: bool) -> (*const libc::msghdr, u16) {
        (if is_informed { &raw const *self.informed } else { &raw const *self.plain }, Inbox::GROUP)
    }

    /// `None` if the kernel wrote no such thing, or the peer has no address.
    pub(super) fn arrival(&self, received: &ReceivedDatagram) -> Option<Arrival<'_>> {
        let control_room = if received.is_informed { CONTROL } else { 0 };
        let message = Message::parse(self.buffers.octets(received.buffer, received.length), control_room)?;
        Some(Arrival {
            from: socket_address(message.name)?,
            to: destination(message.control),
            octets: message.octets,
            // What control messages leave unused is not the datagram's.
            is_truncated: message.length != message.octets.len() || message.length > MAX_DATAGRAM,
        })
    }
}

/// What the kernel writes: `struct io_uring_recvmsg_out`, then fields of fixed lengths, then the datagram.
struct Message<'a> {
    name: &'a [u8],
    control: &'a [u8],
    octets: &'a [u8],
    /// Of the datagram, also where it does not fit.
    length: usize,
}

impl Message<'_> {
    fn parse(buffer: &[u8], control_room: usize) -> Option<Message<'_>> {
        let (header, rest) = buffer.split_first_chunk::<HEADER>()?;
        let (name, rest) = rest.split_at_checked(NAME)?;
        let (control, octets) = rest.split_at_checked(control_room)?;
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
        Some(Message {
            name: name.get(..word(0))?,
            control: control.get(..word(4))?,
            octets: octets.get(..word(8)).unwrap_or(octets),
            length: word(8),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_lies_in_a_buffer_is_survived(octets in vec(any::<u8>(), 0..200), room in 0usize..80) {
            if let Some(message) = Message::parse(&octets, room) {
                assert!(message.octets.len() <= message.length && message.control.len() <= room);
            }
        }
    }
}
