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

use afpa_platform::exposed::Given;
use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg, sendmsg, socket_with,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Changes with every change of what is said.
pub const VERSION: u32 = 2;
/// The longest packet, in octets.
pub const MAX_PACKET: usize = 60 * 1024;
/// The most descriptors of one packet: the region's, and a bell for each engine.
pub const MAX_DESCRIPTORS: usize = 1 + crate::layout::MAX_ENGINES as usize;

/// The longest key of an object, in octets.
pub const MAX_KEY: usize = 1024;

/// Proves that a process belongs to an application: known to its processes and the server alone.
pub type Token = [u8; 16];

/// Who sends on connections: which components of TCP the server has (TCP Servers §3).
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sender {
    /// The server, what lies in send rings and what jobs name.
    #[default]
    #[serde(rename = "send+receive")]
    Server,
    /// The application, through the kernel's socket, which it has as well: see [`handing`](crate::handing).
    #[serde(rename = "receive")]
    Application,
}

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
        #[serde(with = "scoped")]
        to: SocketAddr,
    },
    /// Registers memory. With a memfd that is sealed against shrinking.
    Register {
        /// Its octets.
        length: u64,
    },
    /// Asks for memory of the server's that is registered: such that leaves from where it lies. Who is refused brings his own.
    Grant {
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
    /// Where the sockets of a listening slot's connections come ([`handing`](crate::handing)), if the application sends.
    Incoming {
        /// The slot.
        slot: u32,
    },
    /// What there is, as JSON, for people and programs. Needs no attachment.
    Status,
    /// Keeps a copy of something under a key of the user's, in place of what was there. With a memfd if that is what it
    /// comes from.
    Publish {
        /// At most [`MAX_KEY`] octets.
        key: Vec<u8>,
        /// What is copied.
        from: Content,
    },
    /// Finds what is kept under a key of the user's.
    FindObject {
        /// The key.
        key: Vec<u8>,
    },
    /// Lets go of an object that was found, as soon as no job needs it.
    CloseObject {
        /// Which.
        object: u32,
    },
    /// Keeps what is under a key of the user's no longer. Who has found it before has it still.
    Purge {
        /// The key.
        key: Vec<u8>,
    },
}

/// What is published.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// The octets of a memfd that is sealed against shrinking.
    Passed {
        /// How many.
        length: u64,
    },
    /// Octets of registered memory.
    Memory {
        /// Which.
        memory: u32,
        /// The first of them.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// Octets of a file that was passed.
    File {
        /// Which.
        file: u32,
        /// The first of them.
        offset: u64,
        /// How many.
        length: u64,
    },
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
        /// Who sends.
        sender: Sender,
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
    /// To `Grant`: with a memfd. What else is in it belongs to the same application, or to nobody.
    Granted {
        /// Its number.
        memory: u32,
        /// Where in the memfd it begins, at a page.
        offset: u64,
    },
    /// To `OpenFile`.
    File {
        /// Its number.
        file: u32,
    },
    /// To `Incoming`: with the socket.
    Incoming,
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
    /// To `FindObject`.
    Object {
        /// Its number.
        object: u32,
        /// Its octets.
        length: u64,
    },
}

/// An address with its scope, without which a link-local one is none (RFC 4007 §6); serde's own form has none.
mod scoped {
    use std::net::{IpAddr, SocketAddr};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        let scope = if let SocketAddr::V6(v6) = address { v6.scope_id() } else { 0 };
        (address.ip(), address.port(), scope).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        let (ip, port, scope) = <(IpAddr, u16, u32)>::deserialize(deserializer)?;
        let mut address = SocketAddr::new(ip, port);
        if let SocketAddr::V6(v6) = &mut address {
            v6.set_scope_id(scope);
        }
        Ok(address)
    }
}

/// Connects to a TCP server.
///
/// # Errors
/// As connect(2).
pub fn connect_to(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let address = SocketAddrUnix::new(path)?;
    retry_on_intr(|| connect(&socket, &address))?;
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
    retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&octets)], &mut ancillary, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives one packet; `None` at the end, for which an empty packet is taken as well.
///
/// # Errors
/// It is no such message, or more than one; it is longer than a packet may be, or has more descriptors; or the socket
/// fails. The descriptors that came are closed.
pub fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut octets = vec![0; MAX_PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(&mut octets)];
    let received =
        retry_on_intr(|| recvmsg(socket, &mut pieces, &mut ancillary, RecvFlags::CMSG_CLOEXEC | RecvFlags::TRUNC))?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    // The kernel aligns the space for descriptors, so that some more than asked for may fit.
    if received.bytes > MAX_PACKET
        || received.flags.contains(ReturnFlags::CTRUNC)
        || descriptors.len() > MAX_DESCRIPTORS
    {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the packet is too long, or has too many descriptors"));
    }
    let message = decode(&octets[..received.bytes])?;
    Ok(Some((message, descriptors)))
}

/// Asks, and waits for the answer.
///
/// # Errors
/// The server is gone, or has refused.
pub fn ask(socket: BorrowedFd<'_>, request: &Request, with: &[BorrowedFd<'_>]) -> io::Result<(Reply, Vec<OwnedFd>)> {
    send(socket.as_fd(), request, with)?;
    answered(receive(socket.as_fd())?)
}

/// Asks for memory ([`Request::Grant`]), and waits for the answer. The descriptor that comes with it nobody else sees.
///
/// # Errors
/// As [`ask`].
pub fn ask_for_memory(socket: BorrowedFd<'_>, length: u64) -> io::Result<(Reply, Option<Given>)> {
    send(socket, &Request::Grant { length }, &[])?;
    let mut octets = vec![0; MAX_PACKET];
    let (count, given) = Given::receive(socket, &mut octets)?;
    let reply = (count > 0).then(|| decode(&octets[..count])).transpose()?;
    answered(reply.map(|reply| (reply, given)))
}

fn answered<T>(answer: Option<(Reply, T)>) -> io::Result<(Reply, T)> {
    match answer {
        Some((Reply::Refused { errno, .. }, _)) => Err(io::Error::from_raw_os_error(errno)),
        Some(answer) => Ok(answer),
        None => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// Reads a packet that is one message and nothing more.
pub(crate) fn decode<T: DeserializeOwned>(packet: &[u8]) -> io::Result<T> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    match postcard::take_from_bytes(packet) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(invalid("octets behind the message")),
        Err(error) => Err(invalid(&error.to_string())),
    }
}
