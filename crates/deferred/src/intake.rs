//! One sender: what has come from it so far.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_protocol, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags, SocketType, ipproto,
    recvmsg,
};

use crate::connection::Connection;
use crate::frame::{Fault, HEADER, Header};
use crate::options::Options;

/// Descriptors for which there is room, so that more than the one are seen. What is beyond them the kernel closes,
/// and tells.
const ROOM: usize = 4;

/// Octets read at once.
const CHUNK: usize = 64 * 1024;

/// A frame that is being read.
pub(crate) struct Intake {
    max_read_ahead: usize,
    octets: Vec<u8>,
    header: Option<Header>,
    socket: Option<OwnedFd>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// More has to come.
    Waiting,
    /// The frame is complete.
    Complete,
    /// The sender left without having said anything: nobody's fault.
    Nothing,
}

impl Intake {
    /// Starts to read from `sender`.
    pub(crate) fn new(sender: BorrowedFd<'_>, options: &Options) -> Result<Intake, Fault> {
        if let Some(uid) = options.uid {
            let sender = getsockopt(&sender, PeerCredentials).map_err(|_| Fault::Stranger)?;
            if sender.uid() != uid {
                return Err(Fault::Stranger);
            }
        }
        Ok(Intake { max_read_ahead: options.max_read_ahead, octets: Vec::new(), header: None, socket: None })
    }

    /// Reads what is there, without waiting.
    pub(crate) fn advance(&mut self, sender: BorrowedFd<'_>) -> Result<Progress, Fault> {
        loop {
            let (begin, end) = (self.octets.len(), self.wanted());
            if begin == end {
                return Ok(Progress::Complete);
            }
            // One more than is due would tell that it does not say how many there are.
            let surplus = usize::from(self.header.is_some());
            self.octets.resize(begin + (end + surplus - begin).min(CHUNK), 0);
            let received = receive(sender, &mut self.octets[begin..], &mut self.socket);
            self.octets.truncate(begin + received.ok().flatten().unwrap_or(0));
            match received? {
                None => return Ok(Progress::Waiting),
                Some(0) if begin == 0 && self.socket.is_none() => return Ok(Progress::Nothing),
                Some(0) => return Err(Fault::Incomplete),
                Some(_) => self.look()?,
            }
        }
    }

    /// The connection, when the frame is complete.
    pub(crate) fn finish(mut self) -> Result<Connection, Fault> {
        let Header { addresses, .. } = self.header.ok_or(Fault::Incomplete)?;
        let socket = self.socket.ok_or(Fault::Descriptors)?;
        check(socket.as_fd())?;
        self.octets.drain(..HEADER);
        Ok(Connection::new(TcpStream::from(socket), self.octets, addresses))
    }

    /// Octets of the frame, as far as that is known.
    fn wanted(&self) -> usize {
        HEADER + self.header.map_or(0, |header| header.count as usize)
    }

    /// Judges what has come.
    fn look(&mut self) -> Result<(), Fault> {
        if let (None, Some(octets)) = (&self.header, self.octets.first_chunk::<HEADER>()) {
            let header = Header::parse(octets)?;
            if header.count as usize > self.max_read_ahead {
                return Err(Fault::TooLong);
            }
            self.header = Some(header);
        }
        // It comes with the first octet.
        match &self.socket {
            None => Err(Fault::Descriptors),
            Some(_) if self.octets.len() > self.wanted() => Err(Fault::Malformed),
            Some(_) => Ok(()),
        }
    }
}

/// Receives octets, and the one descriptor. `None` if nothing is there yet.
fn receive(sender: BorrowedFd<'_>, octets: &mut [u8], socket: &mut Option<OwnedFd>) -> Result<Option<usize>, Fault> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ROOM))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let RecvMsg { bytes, flags, .. } = loop {
        match recvmsg(sender, &mut [IoSliceMut::new(octets)], &mut control, flags) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(_) => return Err(Fault::Incomplete),
        }
    };
    let mut has_others = flags.contains(ReturnFlags::CTRUNC);
    for message in control.drain() {
        let RecvAncillaryMessage::ScmRights(descriptors) = message else { continue };
        for descriptor in descriptors {
            has_others |= socket.is_some();
            socket.get_or_insert(descriptor);
        }
    }
    if has_others { Err(Fault::Descriptors) } else { Ok(Some(bytes)) }
}

/// Whether a descriptor is a connection of TCP. Its peer may have gone meanwhile.
fn check(socket: BorrowedFd<'_>) -> Result<(), Fault> {
    let domain = socket_domain(socket).map_err(|_| Fault::NoConnection)?;
    let kind = socket_type(socket).map_err(|_| Fault::NoConnection)?;
    let protocol = socket_protocol(socket).map_err(|_| Fault::NoConnection)?;
    let listens = socket_acceptconn(socket).map_err(|_| Fault::NoConnection)?;
    let is_tcp = [AddressFamily::INET, AddressFamily::INET6].contains(&domain)
        && kind == SocketType::STREAM
        && [Some(ipproto::TCP), Some(ipproto::MPTCP)].contains(&protocol);
    if is_tcp && !listens { Ok(()) } else { Err(Fault::NoConnection) }
}
