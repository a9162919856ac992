//! Sending on the kernel's socket, where a TCP server only receives: the kernel does what it always does. What is left to do
//! is to know of failures that the server was told of, and the socket's mode (`O_NONBLOCK`), which is the server's as well:
//! the program's is in the description, and goes into each call, or becomes the socket's before a call that takes no flags.

use std::io::IoSlice;

use rustix::io::Errno;

use crate::application::Socket;
use crate::description::flag;
use crate::raw;
use crate::stream::Manner;

impl Socket {
    /// Sends the pieces: all of them, unless the socket does not block.
    pub(crate) fn send_itself(&self, pieces: &[IoSlice<'_>], manner: Manner) -> Result<usize, Errno> {
        if let Some(error) = self.cannot_send() {
            return Err(error);
        }
        let mut flags = libc::MSG_NOSIGNAL;
        if manner.more {
            flags |= libc::MSG_MORE;
        }
        if manner.impatient || self.description().has(flag::NONBLOCKING) {
            flags |= libc::MSG_DONTWAIT;
        } else {
            self.settle_mode();
        }
        raw::send(self.descriptor, pieces, flags).map_err(|error| self.kernels(error))
    }

    /// Why there is no use in trying. An error of the connection is told once, and is `EPIPE` from then on.
    pub(crate) fn cannot_send(&self) -> Option<Errno> {
        let error = match self.application.is_gone() {
            true => Errno::CONNRESET,
            false => self.channel().error()?,
        };
        let is_known = self.description().set(flag::ERROR_TAKEN, true);
        Some(if is_known { Errno::PIPE } else { error })
    }

    /// Gives the kernel's socket the mode that the program has given its own.
    pub(crate) fn settle_mode(&self) {
        let description = self.description();
        let (wanted, is) = (description.has(flag::NONBLOCKING), description.has(flag::KERNEL_NONBLOCKING));
        if wanted == is {
            return;
        }
        let Ok(flags) = raw::fcntl(self.descriptor, libc::F_GETFL, 0) else { return };
        let bit = libc::O_NONBLOCK as usize;
        let flags = if wanted { flags | bit } else { flags & !bit };
        if raw::fcntl(self.descriptor, libc::F_SETFL, flags).is_ok() {
            description.set(flag::KERNEL_NONBLOCKING, wanted);
        }
    }

    /// What the program is told of an error of the kernel's. It is the connection's only error, which the kernel tells once:
    /// whoever was told first, the server or the program.
    fn kernels(&self, error: Errno) -> Errno {
        match error {
            Errno::PIPE => {
                let told = self.channel().error().filter(|_| !self.description().set(flag::ERROR_TAKEN, true));
                told.unwrap_or(error)
            }
            Errno::CONNRESET | Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH => {
                self.description().set(flag::ERROR_TAKEN, true);
                error
            }
            error => error,
        }
    }
}
