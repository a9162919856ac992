//! A socket whose TCP the server runs. Nothing here waits: see [`Queue`](crate::Queue).

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use afpa_channel::Forged;
use afpa_channel::control::Sender;
use afpa_channel::lock::lock;
use afpa_channel::slot::{Slot, command, state};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, send, sendmsg, shutdown};

use crate::attachment::{Attachment, Memory};
use crate::listener::accept_from;
use crate::thread;

/// A connection, or one that is being opened. Dropping it closes it, unless another process of the application has it too.
#[derive(Debug)]
pub struct Channel {
    attachment: Arc<Attachment>,
    slot: u32,
    /// The kernel's socket, on which the application sends, if it does and this is who has it.
    socket: Option<OwnedFd>,
    /// Closed, or given to [`Channel::forget`].
    gone: AtomicBool,
}

/// What could be done now without waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// Octets can be received, or the end or an error can be learnt.
    pub readable: bool,
    /// Octets can be sent, or an error can be learnt. Of room on [the kernel's socket](Channel::socket), the kernel tells.
    pub writable: bool,
    /// The peer has sent FIN, and everything before it has been received.
    pub ended: bool,
    /// The peer has sent FIN, or receiving was shut down.
    pub peer_finished: bool,
    /// The connection has failed.
    pub failed: bool,
    /// Both directions are at their end, or it has failed.
    pub hung_up: bool,
}

impl Channel {
    pub(crate) fn new(attachment: Arc<Attachment>, slot: u32) -> Channel {
        Channel { attachment, slot, socket: None, gone: AtomicBool::new(false) }
    }

    /// The same, with the kernel's socket, on which the application sends.
    pub(crate) fn with_socket(self, socket: OwnedFd) -> Channel {
        let mut channel = self;
        channel.socket = Some(socket);
        channel
    }

    /// The kernel's socket, if the application sends on it ([`Attachment::sender`]): writable when there is room. It can be
    /// polled for that, and not for anything else.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Gives it away, to who sends on it by himself.
    pub fn take_socket(&mut self) -> Option<OwnedFd> {
        self.socket.take()
    }

    /// The attachment that it is of.
    pub fn attachment(&self) -> &Arc<Attachment> {
        &self.attachment
    }

    /// Its place in the region.
    pub fn number(&self) -> u32 {
        self.slot
    }

    /// Its words and rings.
    #[inline]
    pub fn slot(&self) -> Slot<'_, Memory> {
        self.attachment.region().slot(self.slot)
    }

    /// What could be done now.
    pub fn readiness(&self) -> Readiness {
        let slot = self.slot();
        let (bits, commands) = (slot.state(), slot.commands());
        let failed = bits & state::FAILED != 0;
        let connected = bits & state::CONNECTED != 0;
        let readable = slot.receive_ring().readable(slot.taken()).unwrap_or(0);
        let peer_finished = bits & state::PEER_FINISHED != 0 || commands & command::DISCARD != 0;
        let finished = commands & command::FINISH != 0;
        let room = match self.attachment.sender() {
            Sender::Server => slot.send_ring().writable(slot.given()).unwrap_or(0),
            Sender::Application => 0,
        };
        Readiness {
            readable: readable > 0 || peer_finished || failed,
            // As the kernel has it: a third of the buffer, so that a writer is not woken for every octet.
            writable: failed || (connected && (finished || room >= slot.send_ring().size() / 3)),
            ended: readable == 0 && peer_finished,
            peer_finished,
            failed,
            hung_up: failed || (peer_finished && finished),
        }
    }

    /// Whether the connection is established, was, or has failed: what a connect(2) waits for.
    pub fn is_decided(&self) -> bool {
        self.slot().state() & (state::CONNECTED | state::FAILED) != 0
    }

    /// Why it has failed.
    pub fn error(&self) -> Option<Errno> {
        let slot = self.slot();
        (slot.state() & state::FAILED != 0).then(|| Errno::from_raw_os_error(slot.error().min(4095) as i32))
    }

    /// Octets that can be received.
    ///
    /// # Errors
    /// The server has written nonsense.
    pub fn readable(&self) -> io::Result<u32> {
        let slot = self.slot();
        slot.receive_ring().readable(slot.taken()).map_err(nonsense)
    }

    /// Queues as many octets as there is room for. `MSG_DONTWAIT`.
    ///
    /// # Errors
    /// `WouldBlock`: there is no room, and who waits for it is told, as after a part was sent. `EPIPE` after
    /// [`Channel::finish`]; the connection's error.
    #[inline]
    pub fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.takes_octets() {
            return Err(self.unsendable());
        }
        match self.socket() {
            Some(socket) => send_on(socket, pieces),
            None => self.put(pieces, true),
        }
    }

    /// As [`Channel::send`], for who says himself that he waits.
    pub(crate) fn send_unannounced(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.takes_octets() {
            return Err(self.why_not());
        }
        match self.socket() {
            Some(socket) => send_on(socket, pieces),
            None => self.put(pieces, false),
        }
    }

    /// Whether it is connected, and not finished.
    #[inline]
    pub(crate) fn takes_octets(&self) -> bool {
        let slot = self.slot();
        slot.state() & (state::CONNECTED | state::FAILED) == state::CONNECTED && slot.commands() & command::FINISH == 0
    }

    /// Puts octets into the send ring. Who `announces` that he waits for room is told of it.
    #[inline]
    fn put(&self, pieces: &[IoSlice<'_>], announces: bool) -> io::Result<usize> {
        let slot = self.slot();
        let ring = slot.send_ring();
        let guard = lock(slot.send_lock(), thread::id()).ok_or(Errno::AGAIN)?;
        let given = slot.given();
        let (mut end, mut waits) = (given, false);
        let (mut piece, mut at) = (0, 0);
        while piece < pieces.len() {
            let rest = &pieces[piece][at..];
            let room = ring.writable(end).map_err(nonsense)? as usize;
            if room == 0 && !rest.is_empty() {
                // Who has sent only a part waits for room as well; he is told only if he says so before he looks.
                if waits {
                    break;
                }
                waits = true;
                if announces {
                    slot.wait(true);
                    continue;
                }
                break;
            }
            let count = rest.len().min(room);
            ring.write(end, &rest[..count]);
            end = end.wrapping_add(count as u32);
            (piece, at) = if count == rest.len() { (piece + 1, 0) } else { (piece, at + count) };
        }
        if end == given {
            return if waits { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(0) };
        }
        ring.publish(end);
        drop(guard);
        self.attachment.attend(slot);
        Ok(end.wrapping_sub(given) as usize)
    }

    /// Fills the send ring by `fill`, which is lent the room's pieces as offset and length of the region's memory, and
    /// returns how many octets it has written: for octets that come from a file.
    ///
    /// # Errors
    /// As [`Channel::send`]; and what `fill` fails with.
    pub fn send_with(
        &self,
        most: usize,
        fill: impl FnOnce(&Memory, [(usize, usize); 2]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let slot = self.slot();
        if !self.takes_octets() {
            return Err(self.unsendable());
        }
        let ring = slot.send_ring();
        let guard = lock(slot.send_lock(), thread::id()).ok_or(Errno::AGAIN)?;
        let given = slot.given();
        let mut room = ring.writable(given).map_err(nonsense)?;
        if (room as usize) < most {
            slot.wait(true);
            room = ring.writable(given).map_err(nonsense)?;
        }
        if room == 0 && most > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let pieces = ring.pieces(given, room.min(u32::try_from(most).unwrap_or(u32::MAX)));
        let filled = fill(self.attachment.region().memory(), pieces)?.min(pieces[0].1 + pieces[1].1);
        ring.publish(given.wrapping_add(filled as u32));
        drop(guard);
        if filled > 0 {
            self.attachment.attend(slot);
        }
        Ok(filled)
    }

    /// Receives what there is, at most `into` holds; none at the end of the stream. With `peek`, it stays there.
    ///
    /// # Errors
    /// `WouldBlock`: there is nothing yet. The connection's error, after everything that came before it.
    #[inline]
    pub fn receive(&self, into: &mut [u8], peek: bool) -> io::Result<usize> {
        let slot = self.slot();
        // Before the ring is looked at: what was put there before the end is there now.
        let (bits, commands) = (slot.state(), slot.commands());
        let ring = slot.receive_ring();
        let guard = lock(slot.receive_lock(), thread::id()).ok_or(Errno::AGAIN)?;
        let taken = slot.taken();
        let readable = ring.readable(taken).map_err(nonsense)?;
        let count = (readable as usize).min(into.len());
        if count == 0 {
            return match (readable, bits) {
                (1.., _) => Ok(0),
                (0, _) if bits & state::PEER_FINISHED != 0 || commands & command::DISCARD != 0 => Ok(0),
                (0, _) if bits & state::FAILED != 0 => Err(self.error().unwrap_or(Errno::CONNRESET).into()),
                (0, _) if bits & state::CONNECTED == 0 => Err(Errno::NOTCONN.into()),
                _ => {
                    drop(guard);
                    self.want(into.len());
                    Err(io::ErrorKind::WouldBlock.into())
                }
            };
        }
        ring.read(taken, &mut into[..count]);
        if !peek {
            ring.consume(taken.wrapping_add(count as u32));
            drop(guard);
            if slot.is_stalled() {
                self.attachment.attend(slot);
            }
        }
        Ok(count)
    }

    /// Looks at what comes after the first `skip` octets that there are, and leaves all of it there.
    ///
    /// # Errors
    /// As [`Channel::receive`].
    pub fn peek_behind(&self, skip: usize, into: &mut [u8]) -> io::Result<usize> {
        let slot = self.slot();
        let ring = slot.receive_ring();
        let _guard = lock(slot.receive_lock(), thread::id()).ok_or(Errno::AGAIN)?;
        let taken = slot.taken();
        let readable = ring.readable(taken).map_err(nonsense)? as usize;
        let count = readable.saturating_sub(skip).min(into.len());
        if count > 0 {
            ring.read(taken.wrapping_add(skip as u32), &mut into[..count]);
        }
        Ok(count)
    }

    /// Says that octets are waited for, to a server that has left some unread: it may not receive eagerly.
    fn want(&self, octets: usize) {
        let slot = self.slot();
        slot.want(u32::try_from(octets).unwrap_or(u32::MAX));
        if slot.is_stalled() {
            self.attachment.attend(slot);
        }
    }

    /// No more is sent: FIN follows what is queued.
    pub fn finish(&self) {
        if let Some(socket) = self.socket() {
            // Behind what was sent; the server does the same in its own time.
            let _ = shutdown(socket, Shutdown::Write);
        }
        self.command(command::FINISH);
    }

    /// No more is received.
    pub fn discard(&self) {
        self.command(command::DISCARD);
    }

    /// Resets the connection, which fails: all jobs end. It still has to be closed.
    pub fn abort(&self) {
        self.command(command::ABORT);
    }

    /// This process has done with it; the last one closes it, with `reset` by a reset in place of what is queued.
    pub fn close(&self, reset: bool) {
        if !self.gone.swap(true, Ordering::AcqRel) {
            self.let_go(reset);
        }
    }

    /// As [`Channel::close`], of a channel that was [found](Attachment::channel) by its number.
    pub fn let_go(&self, reset: bool) {
        // Held, it is still what it was; let go of, it may be another's at once.
        let generation = self.slot().generation();
        if self.attachment.sender() == Sender::Application {
            self.attachment.incoming().forget(self.slot);
        }
        if self.attachment.release(self.slot) {
            self.command_in(generation, command::CLOSE | if reset { command::ABORT } else { 0 });
        }
    }

    /// Lets go of it without closing: the process's hold stays, for who has the slot's number.
    pub fn forget(self) {
        self.gone.store(true, Ordering::Release);
    }

    /// The address of this end.
    ///
    /// # Errors
    /// The server has not said.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.slot().local().map_err(nonsense)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// It is not connected.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.slot().peer().map_err(|_| Errno::NOTCONN.into())
    }

    /// Of a listening slot: the next connection that its engine has accepted. `None`: none waits.
    ///
    /// # Errors
    /// The server has written nonsense.
    pub fn accept(&self) -> io::Result<Option<Channel>> {
        accept_from(self, true)
    }

    /// As [`Channel::accept`]; with `close_on_exec`, the kernel's socket, if there is one, is closed by exec.
    ///
    /// # Errors
    /// As there.
    pub fn accept_with(&self, close_on_exec: bool) -> io::Result<Option<Channel>> {
        accept_from(self, close_on_exec)
    }

    fn command(&self, bits: u32) {
        self.command_in(self.slot().generation(), bits);
    }

    fn command_in(&self, generation: u32, bits: u32) {
        let slot = self.slot();
        slot.command(generation, bits);
        self.attachment.attend(slot);
    }

    /// Why nothing can be sent; who waits for it is told.
    pub(crate) fn unsendable(&self) -> io::Error {
        let error = self.why_not();
        if error.kind() == io::ErrorKind::WouldBlock {
            self.slot().wait(true);
        }
        error
    }

    fn why_not(&self) -> io::Error {
        let slot = self.slot();
        if slot.commands() & command::FINISH != 0 {
            return Errno::PIPE.into();
        }
        match self.error() {
            Some(error) => error.into(),
            // A connection that is being opened takes octets later.
            None if slot.state() & (state::CONNECTING | state::CONNECTED) != 0 => io::ErrorKind::WouldBlock.into(),
            None => Errno::NOTCONN.into(),
        }
    }

    /// Tells its engine of it.
    #[inline]
    pub(crate) fn attend(&self) {
        self.attachment.attend(self.slot());
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.close(false);
    }
}

/// Sends as much as there is room for.
fn send_on(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    match pieces {
        [piece] => Ok(retry_on_intr(|| send(socket, piece, flags))?),
        _ => Ok(retry_on_intr(|| sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), flags))?),
    }
}

/// What the server has written is not the protocol: for the application it is as if the connection had been reset.
fn nonsense(_: Forged) -> io::Error {
    Errno::CONNRESET.into()
}
