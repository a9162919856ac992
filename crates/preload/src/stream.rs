//! Connections: what read(2), write(2) and their like do.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::io::Errno;

use crate::application::Socket;
use crate::description::flag;
use crate::errors::errno;
use crate::queues::{persist, wait};
use crate::raw;

/// How often in vain before the server is looked for.
const DOUBT: u32 = 4096;

/// How a transfer is done.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// `MSG_DONTWAIT`.
    pub(crate) impatient: bool,
    /// `MSG_PEEK`.
    pub(crate) peek: bool,
    /// `MSG_WAITALL`.
    pub(crate) all: bool,
    /// `MSG_MORE`.
    pub(crate) more: bool,
}

impl Socket {
    /// Receives into the pieces, one after the other.
    pub(crate) fn receive(&self, pieces: &mut [IoSliceMut<'_>], manner: Manner) -> Result<usize, Errno> {
        if self.is_listener() {
            return Err(Errno::NOTCONN);
        }
        let wanted = total(pieces.iter().map(|piece| piece.len()));
        let description = self.description();
        let impatient = manner.impatient || description.has(flag::NONBLOCKING);
        let patience = (impatient, if impatient { None } else { description.receive_deadline() });
        let mut got = 0;
        while got < wanted {
            match self.persist(patience, || self.receive_now(pieces, got, manner.peek)) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if got == 0 => return self.failed(error),
                Err(_) => break,
            }
            if !manner.all || manner.peek {
                break;
            }
        }
        Ok(got)
    }

    /// Does something with the connection, and waits until it can be done, unless impatient.
    fn persist<T>(&self, patience: (bool, Option<Instant>), now: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        persist(self.application, |each| each(self.channel()), false, patience, now)
    }

    /// What there is; the first `skip` octets of the pieces are filled already.
    fn receive_now(&self, pieces: &mut [IoSliceMut<'_>], mut skip: usize, peek: bool) -> Result<usize, Errno> {
        if self.application.is_gone() {
            return Err(Errno::CONNRESET);
        }
        let mut got = 0;
        for piece in pieces {
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let wanted = piece.len() - skip;
            // Behind what was looked at already, and is still there.
            let came = match got {
                1.. if peek => self.channel().peek_behind(got, &mut piece[skip..]),
                _ => self.channel().receive(&mut piece[skip..], peek),
            };
            match came {
                Ok(more) => {
                    got += more;
                    if more < wanted {
                        break;
                    }
                }
                Err(error) if got == 0 => return Err(errno(&error)),
                Err(_) => break,
            }
            skip = 0;
        }
        Ok(got)
    }

    /// Sends the pieces, all of them unless the socket does not block.
    pub(crate) fn send(&self, pieces: &[IoSlice<'_>], manner: Manner) -> Result<usize, Errno> {
        if self.sends() {
            return self.send_itself(pieces, manner);
        }
        let wanted = total(pieces.iter().map(|piece| piece.len()));
        self.send_by(wanted, manner, |sent| {
            if sent == 0 {
                return self.channel().send(pieces);
            }
            let (first, rest) = after(pieces, sent);
            match self.channel().send(&[IoSlice::new(first)])? {
                whole if whole == first.len() && !rest.is_empty() => Ok(whole + self.channel().send(rest).unwrap_or(0)),
                part => Ok(part),
            }
        })
    }

    /// Sends from a file, from `position` on; less than `wanted` if it ends before.
    pub(crate) fn send_file(
        &self,
        file: BorrowedFd<'_>,
        position: u64,
        wanted: usize,
        manner: Manner,
    ) -> Result<usize, Errno> {
        self.send_by(wanted, manner, |sent| {
            let position = position + sent as u64;
            self.channel().send_with(wanted - sent, |memory, room| memory.read_file(file, position, room))
        })
    }

    /// Sends by `part`, which is told how many octets are sent already and sends more; zero ends it.
    fn send_by(
        &self,
        wanted: usize,
        manner: Manner,
        part: impl Fn(usize) -> std::io::Result<usize>,
    ) -> Result<usize, Errno> {
        if self.is_listener() {
            return Err(Errno::PIPE);
        }
        let now = |sent| {
            if self.application.is_gone() { Err(Errno::CONNRESET) } else { part(sent).map_err(|error| errno(&error)) }
        };
        let description = self.description();
        let impatient = manner.impatient || description.has(flag::NONBLOCKING);
        let deadline = if impatient { None } else { description.send_deadline() };
        let mut sent = 0;
        loop {
            match self.persist((impatient, deadline), || now(sent)) {
                Ok(0) => return Ok(sent),
                Ok(more) => sent += more,
                Err(error) if sent == 0 => return self.unsent(error),
                Err(_) => return Ok(sent),
            }
            if sent >= wanted || impatient {
                return Ok(sent);
            }
        }
    }

    /// How many octets a send would take, which waits for room unless it is impatient.
    pub(crate) fn room(&self, manner: Manner) -> Result<usize, Errno> {
        let room = std::cell::Cell::new(0);
        self.send_by(1, manner, |_| {
            self.channel().send_with(usize::MAX, |_, pieces| {
                room.set(pieces[0].1 + pieces[1].1);
                Ok(0)
            })
        })?;
        Ok(room.get())
    }

    /// What a receive that failed returns: an error of the connection is told once, then it is at its end.
    fn failed(&self, error: Errno) -> Result<usize, Errno> {
        if error == Errno::AGAIN || error == Errno::INTR {
            return self.doubt(error);
        }
        let lasting = self.application.is_gone() || self.channel().error().is_some();
        if !lasting || !self.description().set(flag::ERROR_TAKEN, true) {
            return Err(error);
        }
        let was_connected = self.channel().slot().state() & afpa_channel::slot::state::CONNECTED != 0;
        if was_connected { Ok(0) } else { Err(Errno::NOTCONN) }
    }

    /// As above, of a send: it is told once, and `EPIPE` from then on.
    fn unsent(&self, error: Errno) -> Result<usize, Errno> {
        if matches!(error, Errno::AGAIN | Errno::INTR) {
            return self.doubt(error);
        }
        let lasting = self.application.is_gone() || self.channel().error().is_some();
        let known = error != Errno::PIPE && lasting && self.description().set(flag::ERROR_TAKEN, true);
        Err(if known { Errno::PIPE } else { error })
    }

    /// Who never waits would never learn that the server is gone.
    fn doubt(&self, error: Errno) -> Result<usize, Errno> {
        thread_local! {
            static IN_VAIN: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
        }
        let count = IN_VAIN.get().wrapping_add(1);
        IN_VAIN.set(count);
        if count.is_multiple_of(DOUBT) {
            self.application.check();
        }
        Err(error)
    }

    /// The connection's error, which is told once (`SO_ERROR`).
    pub(crate) fn take_error(&self) -> Option<Errno> {
        let error = if self.application.is_gone() {
            Some(Errno::CONNRESET)
        } else if self.is_listener() {
            None
        } else {
            self.channel().error()
        };
        error.filter(|_| !self.description().set(flag::ERROR_TAKEN, true))
    }

    /// A connect(2) of a socket that is connected, or on its way. `Ok(false)`: it has failed before, and may try again.
    pub(crate) fn connect_again(&self) -> Result<bool, Errno> {
        let channel = self.channel();
        if self.is_listener() {
            return Err(Errno::ISCONN);
        }
        if channel.error().is_some() || self.application.is_gone() {
            return self.take_error().map_or(Ok(false), Err);
        }
        if !channel.is_decided() {
            if self.description().has(flag::NONBLOCKING) {
                return Err(Errno::ALREADY);
            }
            return self.connected().map(|()| true);
        }
        if self.description().set(flag::CONNECT_TOLD, true) { Err(Errno::ISCONN) } else { Ok(true) }
    }

    /// Waits for what comes of a connect.
    pub(crate) fn connected(&self) -> Result<(), Errno> {
        let deadline = self.description().send_deadline();
        let decided = wait(
            self.application,
            |each| each(self.channel()),
            false,
            deadline,
            || self.channel().is_decided().then_some(()),
        )?;
        decided.ok_or(Errno::INPROGRESS)?;
        match self.take_error() {
            Some(error) => Err(error),
            None => {
                self.description().set(flag::CONNECT_TOLD, true);
                Ok(())
            }
        }
    }

    /// shutdown(2).
    pub(crate) fn shut_down(&self, receiving: bool, sending: bool) -> Result<(), Errno> {
        if self.is_listener() {
            if receiving {
                self.application.each_slot(self.entry, |channel| channel.discard());
            }
            return Ok(());
        }
        let channel = self.channel();
        if !channel.is_decided() || channel.error().is_some() || self.application.is_gone() {
            return Err(Errno::NOTCONN);
        }
        if receiving {
            channel.discard();
        }
        if sending {
            if self.sends() {
                // At once, behind what was sent; the server does the same in its own time.
                raw::finish(self.descriptor);
            }
            channel.finish();
        }
        Ok(())
    }

    /// The addresses of both ends, as a socket of its family has them.
    pub(crate) fn address(&self, peer: bool) -> Result<SocketAddr, Errno> {
        let channel = self.channel();
        let address = if peer { channel.peer() } else { channel.local() }.map_err(|error| errno(&error))?;
        Ok(crate::address::in_family(address, self.description().has(flag::V6)))
    }
}

/// What is left of the pieces after so many octets: of one of them the rest, and those after it.
fn after<'a, 'b>(pieces: &'a [IoSlice<'b>], mut count: usize) -> (&'a [u8], &'a [IoSlice<'b>]) {
    for (at, piece) in pieces.iter().enumerate() {
        if count < piece.len() {
            return (&piece[count..], &pieces[at + 1..]);
        }
        count -= piece.len();
    }
    (&[], &[])
}

fn total(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_pieces() {
        let pieces = [&b"abc"[..], b"", b"de"].map(IoSlice::new);
        let left = |count| {
            let (first, rest) = after(&pieces, count);
            (first.to_vec(), rest.len())
        };
        assert_eq!(left(1), (b"bc".to_vec(), 2));
        assert_eq!(left(3), (b"de".to_vec(), 0));
        assert_eq!(left(4), (b"e".to_vec(), 0));
        assert_eq!(left(5), (Vec::new(), 0));
    }
}
