//! What is said over the Unix socket on which an application attaches: one packet for each request, one for its reply,
//! in their order, with descriptors as ancillary data (unix(7), SCM_RIGHTS).
//!
//! A process keeps its connection for as long as it lives; its end is the process's end. Everything frequent goes
//! through the region instead.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg, sendmsg, socket_with,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Changes with every change of what is said.
pub const VERSION: u32 = 1;
/// The longest packet, in octets.
pub const MAX_PACKET: usize = 60 * 1024;
/// The most descriptors of one packet: the region's, and a bell for each engine.
pub const MAX_DESCRIPTORS: usize = 1 + crate::layout::MAX_ENGINES as usize;

/// Proves that a process belongs to an application: known to its processes and the server alone.
pub type Token = [u8; 16];

/// What a process asks for. Descriptors that go with it are named.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// A new application, and its first process.
    Attach {
        /// [`VERSION`].
        version: u32,
        /// What it calls itself, for people to read.
        name: String,
    },
    /// A place for a process that is about to be forked; what the caller holds now is copied to it by the caller.
    Fork,
    /// The process that was forked, on a connection of its own.
    Join {
        /// [`VERSION`].
        version: u32,
        /// The application's.
        token: Token,
        /// The place that was made for it.
        process: u32,
    },
    /// An event queue. With the writing end of a pipe (any descriptor that does not block when it is written to will do),
    /// into which an octet is written when the queue has to be rung, and whose end is the server's end.
    OpenQueue,
    /// The queue is not used any more.
    CloseQueue {
        /// Which.
        queue: u32,
    },
    /// Listens. With a TCP socket that is bound.
    Listen {
        /// As listen(2) has it.
        backlog: u32,
    },
    /// Connects. With a TCP socket, bound or not.
    Connect {
        /// Whereto.
        to: SocketAddr,
    },
    /// Registers memory. With a memfd that is sealed against shrinking.
    Register {
        /// Its octets.
        length: u64,
    },
    /// Forgets memory as soon as no job needs it.
    Deregister {
        /// Which.
        memory: u32,
    },
    /// Passes a file from which jobs send. With its descriptor.
    OpenFile,
    /// Forgets a file as soon as no job needs it.
    CloseFile {
        /// Which.
        file: u32,
    },
    /// What there is, as JSON, for people and programs. Needs no attachment.
    Status,
}

/// What the server answers.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// To `Attach` and `Join`: with the region, and an eventfd for each engine.
    Welcome {
        /// The application's.
        token: Token,
        /// The process's place.
        process: u32,
    },
    /// To `Fork`.
    Forked {
        /// The place.
        process: u32,
    },
    /// To `OpenQueue`.
    Queue {
        /// Its number.
        queue: u32,
    },
    /// To `Listen`: a listening slot for each engine that accepts. The caller holds them.
    Listening {
        /// The slots.
        slots: Vec<u32>,
    },
    /// To `Connect`: what comes of it is told by the slot's state. The caller holds it.
    Connecting {
        /// The slot.
        slot: u32,
    },
    /// To `Register`.
    Registered {
        /// Its number.
        memory: u32,
    },
    /// To `OpenFile`.
    File {
        /// Its number.
        file: u32,
    },
    /// Done.
    Done,
    /// To `Status`.
    Status(
        /// JSON.
        String,
    ),
    /// Not done.
    Refused {
        /// As the system call would have it.
        errno: i32,
        /// For people to read.
        reason: String,
    },
}

/// Connects to a TCP server.
///
/// # Errors
/// As connect(2).
pub fn connect_to(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Sends one packet. A socket that does not block answers `WouldBlock` if the other side does not read.
///
/// # Errors
/// The other side is gone, or the packet too long.
pub fn send<T: Serialize>(socket: BorrowedFd<'_>, message: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let octets = postcard::to_stdvec(message).map_err(io::Error::other)?;
    if octets.len() > MAX_PACKET || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    loop {
        match sendmsg(socket, &[IoSlice::new(&octets)], &mut ancillary, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result.map(drop)?),
        }
    }
}

/// Receives one packet; `None` at the end.
///
/// # Errors
/// It is no such message, or the socket fails.
pub fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut octets = vec![0; MAX_PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut pieces = [IoSliceMut::new(&mut octets)];
        match recvmsg(socket, &mut pieces, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result?,
        }
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let message = postcard::from_bytes(&octets[..received.bytes])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some((message, descriptors)))
}

/// Asks, and waits for the answer.
///
/// # Errors
/// The server is gone, or has refused.
pub fn ask(socket: BorrowedFd<'_>, request: &Request, with: &[BorrowedFd<'_>]) -> io::Result<(Reply, Vec<OwnedFd>)> {
    send(socket.as_fd(), request, with)?;
    match receive(socket.as_fd())? {
        Some((Reply::Refused { errno, .. }, _)) => Err(io::Error::from_raw_os_error(errno)),
        Some(answer) => Ok(answer),
        None => Err(io::ErrorKind::ConnectionReset.into()),
    }
}
