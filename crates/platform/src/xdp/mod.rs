//! AF_XDP: Ethernet frames from and to one queue of an interface, in memory that we share with the kernel.
//!
//! That memory is the cache's [`Arena`]: what is sent can lie anywhere in it, so that a response leaves
//! from where the cache keeps it. Frames that arrive, and the heads of those that leave, have chunks of
//! 4 KiB of their own there.
//!
//! A socket has two halves, so that a frame can be answered while it is read. [`Receiver`] lends each
//! frame until the next is asked for. [`Transmitter`] writes the head and short pieces into a chunk of its
//! own, points at longer ones, and holds their pins until the kernel says that it has read them.
//!
//! What is bounded: the frames that wait to be read (`frames`; more are dropped by the kernel and
//! counted), the descriptors of what waits to be sent (twice that; beyond it the answer is [`Full`]).
//! Nothing here waits.

mod flight;
mod link;
mod receiver;
mod ring;
mod setup;
mod transmitter;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;

use crate::memory::{Arena, Frames};
use link::Link;
pub use receiver::Receiver;
pub use transmitter::{Full, Transmitter, TxPiece};

/// The fewest and the most frames of a socket.
const FRAMES: std::ops::RangeInclusive<u32> = 64..=16_384;
/// Octets of a link header with a tag.
const LINK_HEADER: u32 = 18;
/// Octets that the kernel keeps in front of a received frame in its chunk (XDP_PACKET_HEADROOM).
const HEADROOM: u32 = 256;
/// Octets of the largest IP packet whose frame fits into one chunk.
pub const ONE_CHUNK_MTU: u32 = Frames::CHUNK as u32 - HEADROOM - LINK_HEADER;

/// What a socket is to be.
#[derive(Clone, Debug)]
pub struct XdpConfig {
    /// The interface's index.
    pub interface: u32,
    /// One of its queues, from 0.
    pub queue: u32,
    /// The memory that frames lie in. It is registered: it lends nothing from then on, and is in memory as
    /// a whole.
    pub arena: Arc<Arena>,
    /// Chunks of 4 KiB for frames that arrive, and as many for the heads of those that leave: rounded up
    /// to a power of two within 64 and 16,384. At most half of the arena may be taken by them.
    pub frames: u32,
    /// Whether the driver reads and writes the memory itself.
    pub mode: Mode,
    /// Whether a frame may consist of several pieces (XDP_USE_SG, in Linux since 6.6): what frames of more
    /// than a chunk need, and what sends pinned memory from where it lies. Without it, or if the kernel has
    /// no such thing, all is copied.
    pub scatter: bool,
    /// Whether system calls drive the device, in place of its interrupts: each time that no frame is there,
    /// [`Receiver::receive`] makes one.
    pub busy_poll: Option<BusyPoll>,
}

/// Who moves the octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// The driver if it can, even if its frames must be of one chunk, as long as the MTU allows that; else the
    /// kernel.
    #[default]
    Auto,
    /// The kernel, by copying; works with every driver.
    Copy,
    /// The driver; an error if it cannot. The chunks of a socket are not used again when it is closed,
    /// because the kernel does not say when the driver is done with them.
    ZeroCopy,
}

/// How system calls drive the device (SO_PREFER_BUSY_POLL).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusyPoll {
    /// How long a call may look for frames, in microseconds.
    pub microseconds: u32,
    /// The most frames that a call handles.
    pub budget: u32,
}

/// What the kernel counted for a socket (XDP_STATISTICS).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct XdpStatistics {
    /// Frames dropped for other reasons than a full ring: too large for a chunk, for example.
    pub receive_dropped: u64,
    /// Frames dropped because they were not read in time.
    pub receive_ring_full: u64,
    /// Times that a frame found no chunk to go into.
    pub fill_ring_empty: u64,
    /// Chunks for receiving that the kernel refused.
    pub fill_invalid: u64,
    /// Pieces to be sent that the kernel refused.
    pub transmit_invalid: u64,
    /// Times that the kernel was told to send and found nothing.
    pub transmit_ring_empty: u64,
}

/// A socket for the frames of one queue of an interface. Belongs to the thread that opens it.
pub struct XdpSocket {
    /// The half that receives.
    pub receiver: Receiver,
    /// The half that sends.
    pub transmitter: Transmitter,
    link: Rc<Link>,
}

/// Whether the kernel has AF_XDP and lets this process use it.
///
/// # Errors
/// What is missing, in one sentence.
pub fn probe() -> io::Result<()> {
    setup::probe()
}

impl XdpSocket {
    /// Opens a socket and registers the arena for it. Slow, because all of the arena is faulted in, and
    /// because a queue that is taken may become free within a second.
    ///
    /// # Errors
    /// What is missing, in one sentence: a privilege, AF_XDP in the kernel, locked memory, the queue, a
    /// driver for [`Mode::ZeroCopy`], room in the arena.
    pub fn open(config: &XdpConfig) -> io::Result<XdpSocket> {
        XdpSocket::from_link(setup::open(config, None)?)
    }

    /// Opens a socket for another queue, over the memory that `other` has registered: it takes part in what
    /// that costs the kernel. The mode, `scatter` and the arena are those of `other`.
    ///
    /// # Errors
    /// As [`XdpSocket::open`]; the arena is another, or the queue is that of `other`.
    pub fn open_beside(config: &XdpConfig, other: &XdpSocket) -> io::Result<XdpSocket> {
        XdpSocket::from_link(setup::open(config, Some(&other.link))?)
    }

    /// Opens a socket for each of these queues, in their order, over one registration of the arena. The queue in
    /// `config` counts for nothing. In [`Mode::Auto`], if the driver cannot do it for all of them, the kernel does
    /// it for all.
    ///
    /// # Errors
    /// As [`XdpSocket::open`]; what was opened before is closed.
    pub fn open_queues(config: &XdpConfig, queues: &[u32]) -> io::Result<Vec<XdpSocket>> {
        let mut sockets = Vec::with_capacity(queues.len());
        for queue in queues {
            let config = XdpConfig { queue: *queue, ..config.clone() };
            match sockets.first() {
                None => sockets.push(XdpSocket::open(&config)?),
                Some(first) => match XdpSocket::open_beside(&config, first) {
                    Ok(socket) => sockets.push(socket),
                    Err(_) if config.mode == Mode::Auto && first.is_zero_copy() => {
                        drop(sockets);
                        return XdpSocket::open_queues(&XdpConfig { mode: Mode::Copy, ..config }, queues);
                    }
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(sockets)
    }

    /// A descriptor that is readable while frames wait to be read.
    ///
    /// It is not the socket itself: a duplicate of that would keep the kernel writing to the arena.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.readiness()
    }

    /// What the kernel counted.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn statistics(&self) -> io::Result<XdpStatistics> {
        setup::statistics(self.link.socket())
    }

    /// Whether the driver moves the octets.
    pub fn is_zero_copy(&self) -> bool {
        self.link.zero_copy
    }

    /// Whether a frame may consist of several pieces.
    pub fn is_scattering(&self) -> bool {
        self.link.scatter
    }

    /// Octets of the largest IP packet that the socket can send and receive.
    pub fn max_mtu(&self) -> u32 {
        if self.link.scatter { self.transmitter.max_frame() as u32 - LINK_HEADER } else { ONE_CHUNK_MTU }
    }

    /// The interface's index.
    pub fn interface(&self) -> u32 {
        self.link.interface
    }

    /// The queue.
    pub fn queue(&self) -> u32 {
        self.link.queue
    }

    /// The socket itself, for the table of sockets that a program in the kernel sends to.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.link.socket().as_fd()
    }

    fn from_link(link: Link) -> io::Result<XdpSocket> {
        let link = Rc::new(link);
        let transmitter = Transmitter::new(link.clone());
        Ok(XdpSocket { receiver: Receiver::new(link.clone()), transmitter, link })
    }
}
