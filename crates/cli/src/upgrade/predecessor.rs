//! The running server, as its successor sees it.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_domain, socket_peercred, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketType, recv, recvmsg, send,
};
use rustix::process::{geteuid, getppid};
use rustix::stdio::dup2_stdin;

use super::letter::MAX_LETTER;
use super::{Handed, Letter, VARIABLE};
use crate::config::Interface;

/// How long the predecessor may take to hand over.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server that this one takes over from.
#[derive(Debug)]
pub struct Predecessor {
    channel: OwnedFd,
    /// How it uses its sockets, which are set up for that.
    pub io: Interface,
    /// Its sockets.
    pub sockets: Vec<Handed>,
}

impl Predecessor {
    /// Takes what the predecessor hands over, if the environment says that there is one. Standard input leads nowhere
    /// from then on.
    ///
    /// # Errors
    /// There is none, or none that may be believed; or it says what cannot be understood.
    pub fn meet() -> Result<Option<Predecessor>, String> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let met = Self::take_over().map(Some);
        met.map_err(|error| format!("nothing can be taken over (the environment has {VARIABLE}): {error}"))
    }

    fn take_over() -> io::Result<Predecessor> {
        let channel = std::io::stdin().as_fd().try_clone_to_owned()?;
        trust(&channel)?;
        dup2_stdin(File::open("/dev/null")?)?;
        set_socket_timeout(&channel, Timeout::Recv, Some(PATIENCE))?;
        let (letter, _) = receive(&channel)?;
        let Letter::Greeting { io, sockets: count } = letter else { return Err(unexpected()) };
        let mut sockets = Vec::new();
        for _ in 0..count {
            match receive(&channel)? {
                (Letter::Socket { role, door, asked }, Some(socket)) => {
                    socket_type(&socket)?;
                    sockets.push(Handed { role, door, asked, socket });
                }
                _ => return Err(unexpected()),
            }
        }
        Ok(Predecessor { channel, io, sockets })
    }

    /// Tells it that this server serves, so that it may go.
    ///
    /// # Errors
    /// It does not listen any more.
    pub fn tell_ready(&self, line: &str) -> io::Result<()> {
        self.tell(&Letter::Ready(line.to_owned()))
    }

    /// Tells it that this server does not serve. If it does not listen, there is nothing to be done about that.
    pub fn tell_failed(&self, reason: &str) {
        let _ = self.tell(&Letter::Failed(reason.to_owned()));
    }

    /// Whether it has stopped to accept.
    pub fn is_done(&self) -> bool {
        !matches!(recv(&self.channel, &mut [0; 1][..], RecvFlags::DONTWAIT), Err(rustix::io::Errno::AGAIN))
    }

    fn tell(&self, letter: &Letter) -> io::Result<()> {
        send(&self.channel, &letter.write(), SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Whoever sets a variable of the environment is not yet the one whose sockets are served.
fn trust(channel: &OwnedFd) -> io::Result<()> {
    let is_channel = socket_domain(channel).is_ok_and(|domain| domain == AddressFamily::UNIX)
        && socket_type(channel).is_ok_and(|kind| kind == SocketType::SEQPACKET);
    if !is_channel {
        return Err(io::Error::other("standard input does not lead to a running server"));
    }
    let peer = socket_peercred(channel)?;
    if peer.uid != geteuid() || Some(peer.pid) != getppid() {
        return Err(io::Error::other("standard input does not lead to who started this program"));
    }
    Ok(())
}

fn receive(channel: &OwnedFd) -> io::Result<(Letter, Option<OwnedFd>)> {
    let mut octets = [0; MAX_LETTER];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(channel, &mut [IoSliceMut::new(&mut octets)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let descriptor = descriptors.last();
    if received.bytes == 0 {
        return Err(io::Error::other("the running server has ended"));
    }
    let letter = Letter::read(&octets[..received.bytes]).map_err(|error| io::Error::other(error.to_string()))?;
    Ok((letter, descriptor))
}

fn unexpected() -> io::Error {
    io::Error::other(super::Malformed.to_string())
}
