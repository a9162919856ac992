//! Hands a connection to another process of this machine: its descriptor, and what was read from it, over a Unix
//! stream socket (unix(7), SCM_RIGHTS). The crate `afpa-deferred` is the other end.
//!
//! One connection of the Unix socket carries one frame, little-endian, with the descriptor as ancillary data of its
//! first octet:
//!
//! | octets | meaning |
//! |---|---|
//! | 4 | `AFPH` |
//! | 2 | version: 1 |
//! | 2 | zero |
//! | 4 | how many octets were read from the connection: at most [`MAX_OCTETS`] |
//! | 24 | the client's address |
//! | 24 | the address that it connected to |
//! | … | the octets |
//!
//! An address is its family (one octet, 4 or 6), a zero, the port (2), the scope (4; zero but for IPv6), and 16 octets
//! of which IPv4 uses the first four, the others being zero.
//!
//! There is no answer: with the last octet the connection is the receiver's, and one that does not get to its end
//! is not used by it. So a connection has one owner at any time, whoever fails.

use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, connect, getpeername, getsockname, recv, sendmsg, shutdown, socket_with,
};

/// The most octets that go with a connection.
pub const MAX_OCTETS: usize = 1 << 20;

const MAGIC: &[u8; 4] = b"AFPH";
const VERSION: u16 = 1;
const HEADER: usize = 12 + 2 * ADDRESS;
const ADDRESS: usize = 24;

/// The most octets that [`refuse`] reads and throws away.
const THROWN_AWAY: usize = 256 * 1024;

/// Between whom a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// The client. Behind a proxy that says so, the one whom the proxy speaks for.
    pub client: SocketAddr,
    /// What the client connected to.
    pub local: SocketAddr,
}

impl Addresses {
    /// Those of a connected TCP socket.
    ///
    /// # Errors
    /// It is none, or not any more.
    pub fn of(socket: BorrowedFd<'_>) -> io::Result<Addresses> {
        let client = getpeername(socket)?.and_then(|address| SocketAddr::try_from(address).ok());
        let local = SocketAddr::try_from(getsockname(socket)?).ok();
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "not a connection of TCP");
        client.zip(local).map(|(client, local)| Addresses { client, local }).ok_or_else(none)
    }
}

/// A connection on its way to a local server. Whatever becomes of that, its client hears something: if nobody takes
/// the connection, be it that this is dropped without having been tried, the client is told so ([`refuse`]).
pub struct HandOver {
    socket: Option<OwnedFd>,
    octets: Vec<u8>,
    addresses: Addresses,
    refusal: Arc<[u8]>,
}

impl HandOver {
    /// The connection `socket`, from which `octets` were read. `refusal` is what its client gets if nobody takes it.
    pub fn new(socket: OwnedFd, octets: Vec<u8>, addresses: Addresses, refusal: Arc<[u8]>) -> HandOver {
        HandOver { socket: Some(socket), octets, addresses, refusal }
    }

    /// [Hands](hand_over) the connection to whoever listens at `path`. Blocks for at most `patience`.
    ///
    /// # Errors
    /// As [`hand_over`]; the client has been told.
    pub fn run(mut self, path: &Path, patience: Duration) -> io::Result<()> {
        let Some(socket) = self.socket.take() else { return Ok(()) };
        hand_over(path, patience, &self.addresses, &self.octets, socket).map_err(|(error, socket)| {
            self.socket = Some(socket);
            error
        })
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            refuse(socket, &self.refusal);
        }
    }
}

/// Hands the connection `socket`, from which `octets` were read, to whoever listens at `path`. Blocks for at most
/// `patience`, give or take a system call: work for a worker.
///
/// # Errors
/// Nobody listens there, they do not take it in time, or there are too many octets. The connection comes back, and
/// nobody else has it.
pub fn hand_over(
    path: &Path,
    patience: Duration,
    addresses: &Addresses,
    octets: &[u8],
    socket: OwnedFd,
) -> Result<(), (io::Error, OwnedFd)> {
    if octets.len() > MAX_OCTETS {
        return Err((io::Error::new(io::ErrorKind::InvalidInput, "too many octets go with the connection"), socket));
    }
    let deadline = Instant::now() + patience;
    let header = header(addresses, octets.len() as u32);
    let result = reach(path, patience).and_then(|receiver| {
        let first = send_first(&receiver, &header, octets, socket.as_fd(), deadline)?;
        send_rest(&receiver, &header, octets, first, deadline)
    });
    result.map_err(|error| (error, socket))
}

/// Ends a connection that nobody took: says `answer`, as far as the kernel takes it at once, and closes. What the
/// client had sent is thrown away, so that it finds the answer and not a reset, unless it goes on sending. Does not
/// block.
pub fn refuse(socket: OwnedFd, answer: &[u8]) {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    // Whatever fails here: the client is gone, or gets no answer.
    let _ = rustix::net::send(&socket, answer, flags);
    let _ = shutdown(&socket, Shutdown::Write);
    let (mut buffer, mut count) = ([0; 16 * 1024], 0);
    while count < THROWN_AWAY {
        match recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) if length > 0 => count += length,
            _ => break,
        }
    }
}

fn header(addresses: &Addresses, count: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(MAGIC);
    header[4..6].copy_from_slice(&VERSION.to_le_bytes());
    header[8..12].copy_from_slice(&count.to_le_bytes());
    write_address(&mut header[12..12 + ADDRESS], addresses.client);
    write_address(&mut header[12 + ADDRESS..], addresses.local);
    header
}

fn write_address(field: &mut [u8], address: SocketAddr) {
    field[2..4].copy_from_slice(&address.port().to_le_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            field[0] = 4;
            field[8..12].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            field[0] = 6;
            field[8..].copy_from_slice(&ip.octets());
        }
    }
    if let SocketAddr::V6(address) = address {
        field[4..8].copy_from_slice(&address.scope_id().to_le_bytes());
    }
}

/// Connects. A receiver with a full backlog is waited for.
fn reach(path: &Path, patience: Duration) -> io::Result<OwnedFd> {
    let receiver = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Zero would mean for ever.
    set_socket_timeout(&receiver, Timeout::Send, Some(patience.max(Duration::from_millis(1))))?;
    loop {
        match connect(&receiver, &SocketAddrUnix::new(path)?) {
            Ok(()) => return Ok(receiver),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(late()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends the descriptor with the frame's beginning. Returns how many octets of the frame that is.
fn send_first(
    receiver: &OwnedFd,
    header: &[u8],
    octets: &[u8],
    socket: BorrowedFd<'_>,
    deadline: Instant,
) -> io::Result<usize> {
    let descriptors = [socket];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)), "there is space for one descriptor");
        if let Some(count) = send(receiver, &[IoSlice::new(header), IoSlice::new(octets)], &mut control, deadline)? {
            return Ok(count);
        }
    }
}

/// Sends the frame from octet `sent` on.
fn send_rest(receiver: &OwnedFd, header: &[u8], octets: &[u8], mut sent: usize, deadline: Instant) -> io::Result<()> {
    while sent < header.len() + octets.len() {
        let rest_of_header = &header[sent.min(header.len())..];
        let rest = &octets[sent.saturating_sub(header.len())..];
        let pieces = [IoSlice::new(rest_of_header), IoSlice::new(rest)];
        sent += send(receiver, &pieces, &mut SendAncillaryBuffer::default(), deadline)?.unwrap_or(0);
    }
    Ok(())
}

/// Sends what there is room for. `None` if there was none, and there may be now.
fn send(
    receiver: &OwnedFd,
    pieces: &[IoSlice<'_>],
    control: &mut SendAncillaryBuffer<'_, '_, '_>,
    deadline: Instant,
) -> io::Result<Option<usize>> {
    match sendmsg(receiver, pieces, control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::INTR) => Ok(None),
        Err(Errno::AGAIN) => await_room(receiver, deadline).map(|()| None),
        Err(error) => Err(error.into()),
    }
}

fn await_room(receiver: &OwnedFd, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(&mut [PollFd::new(receiver, PollFlags::OUT)], Some(&wait)) {
        Ok(0) => Err(late()),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the local server did not take the connection in time")
}
