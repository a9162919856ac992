//! AF_PACKET: Ethernet frames from and to an interface whose driver knows nothing of AF_XDP, with large
//! segments cut by the kernel or the device.
//!
//! Every frame comes and goes with a header that says whose checksum is left to do, and how it is to be cut
//! (PACKET_VNET_HDR). So a response of up to 64 KiB leaves as one frame, through the kernel's segmentation
//! (GSO) or the device's; and what the kernel has put together (GRO) arrives as one frame.
//!
//! A packet socket sees copies: the kernel would take each packet as well. A [`Shield`] keeps ours from it, and
//! lets a socket see nothing but ours.
//!
//! The kernel copies each frame once, in and out, wherever its pieces lie: pinned memory is not sent from its
//! place. Frames with a VLAN's tag belong to the VLAN's interface; open the socket there.
//!
//! What is bounded: frames that wait to be read (`receive_buffer`; the kernel drops and counts beyond it),
//! frames that wait to be sent (`send_buffer` in the kernel, 64 short ones here; beyond them the answer is
//! [`Full`]). Nothing here waits.

pub(crate) mod pieces;
mod receiver;
mod setup;
mod shield;
mod transmitter;
pub(crate) mod virtio;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

pub use receiver::Receiver;
pub use shield::{Protocol, Shield, ShieldCounters};
pub use transmitter::Transmitter;
pub use virtio::{Checksum, Full, MAX_SEGMENTED, Segmentation};

/// What a socket is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketConfig {
    /// The interface's index.
    pub interface: u32,
    /// Octets of frames that may wait to be read, as the kernel counts them: several times their length if
    /// they are short. By default 8 MiB.
    pub receive_buffer: usize,
    /// Octets of frames that may be on their way out, counted likewise. By default 4 MiB.
    pub send_buffer: usize,
    /// How frames are spread over the sockets of a group; `None` for a socket alone.
    pub spread: Option<Spread>,
}

impl PacketConfig {
    /// The defaults, for an interface.
    pub fn new(interface: u32) -> PacketConfig {
        PacketConfig { interface, receive_buffer: 8 << 20, send_buffer: 4 << 20, spread: None }
    }
}

/// How frames are spread over the sockets of a group (PACKET_FANOUT).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spread {
    /// By addresses and ports: a connection's frames reach one socket, whatever processor handles them.
    Flow,
    /// By the processor that handles the frame: the sockets in the order of their opening. A connection's
    /// frames reach one socket as long as the device or the kernel (RSS, RPS) sends them to one processor.
    Processor,
}

/// What the kernel and we counted for a socket.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PacketStatistics {
    /// Frames that were ours.
    pub received: u64,
    /// Frames dropped because they were not read in time.
    pub receive_buffer_full: u64,
    /// Received frames dropped because they are too long, or several datagrams in one.
    pub receive_dropped: u64,
    /// Frames that the kernel did not take, or could not pass on: the interface is down, its queue is full,
    /// or the frame is too long.
    pub transmit_dropped: u64,
}

/// A socket for the frames of an interface. May be opened on one thread and used on another.
pub struct PacketSocket {
    /// The half that receives.
    pub receiver: Receiver,
    /// The half that sends.
    pub transmitter: Transmitter,
    socket: Arc<OwnedFd>,
    /// The group, if there is one.
    group: Option<u16>,
    /// What the kernel counted up to the last look: it begins anew with each.
    counted: PacketStatistics,
}

impl PacketSocket {
    /// Opens a socket that sees what `shield` lists, on the shield's interface. If frames are to be spread,
    /// begins a group.
    ///
    /// # Errors
    /// What is missing, in one sentence.
    pub fn open(config: &PacketConfig, shield: &Shield) -> io::Result<PacketSocket> {
        setup::open(config, shield, None).map(PacketSocket::new)
    }

    /// Opens a socket that shares the frames with those of the group of `other`.
    ///
    /// # Errors
    /// As [`PacketSocket::open`]; `other` belongs to no group, or to one of another interface.
    pub fn open_beside(config: &PacketConfig, shield: &Shield, other: &PacketSocket) -> io::Result<PacketSocket> {
        let group = other.group.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the first packet socket was opened to be alone")
        })?;
        setup::open(config, shield, Some(group)).map(PacketSocket::new)
    }

    /// Readable while frames wait to be read.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What was counted since the socket was opened.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn statistics(&mut self) -> io::Result<PacketStatistics> {
        let (received, lost) = setup::counted(&self.socket)?;
        self.counted.received += received;
        self.counted.receive_buffer_full += lost;
        self.counted.receive_dropped = self.receiver.dropped();
        self.counted.transmit_dropped = self.transmitter.dropped();
        Ok(self.counted)
    }

    fn new((socket, group): (OwnedFd, Option<u16>)) -> PacketSocket {
        let socket = Arc::new(socket);
        let (receiver, transmitter) = (Receiver::new(socket.clone()), Transmitter::new(socket.clone()));
        PacketSocket { receiver, transmitter, socket, group, counted: PacketStatistics::default() }
    }
}
