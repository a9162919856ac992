//! What the kernel knows about an interface: its link, addresses, routes and neighbours, and every
//! change to them, by rtnetlink.
//!
//! A user-level TCP keeps no routing table and answers no ARP of its own on a shared interface: it asks
//! here, so that what an operator or a routing daemon sets holds for it as for the kernel's TCP.

mod change;
pub mod fuzz;
mod message;
pub mod napi;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, sockopt};

use crate::clock;
pub use change::{Address, Change, Link, Neighbour, NeighbourState, Route};
use message::Message;

/// Octets of a read: the kernel never makes a message of a dump larger.
const BUFFER: usize = 32 * 1024;
/// Reads of one [`Netlink::drain`]: it returns in bounded time however fast things change.
const READS: usize = 64;
/// Octets that the kernel keeps for us. When changes exceed it, they are lost, the kernel says so, and
/// everything is read again.
const BACKLOG: usize = 4 * 1024 * 1024;
/// How long a snapshot may take: the kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a snapshot that the kernel calls inconsistent is begun anew before it is taken as it is.
const ATTEMPTS: u32 = 16;

/// What makes a snapshot, in the order in which it is asked for: who knows the link can place the
/// addresses, and so on.
const DUMPS: [u16; 4] = [libc::RTM_GETLINK, libc::RTM_GETADDR, libc::RTM_GETROUTE, libc::RTM_GETNEIGH];
/// The port of the kernel's own messages.
const KERNEL: u32 = 0;

/// A subscription to one interface, and the way to ask the kernel for its neighbours.
///
/// Nothing blocks but [`Netlink::snapshot`]. Memory: one buffer of 32 KiB, and at most 4 MiB in the kernel.
pub struct Netlink {
    socket: OwnedFd,
    interface: u32,
    buffer: Box<[u8]>,
    sequence: u32,
    snapshot: Option<Snapshot>,
    /// Whether what was told may be wrong, and everything must be read again.
    is_stale: bool,
    refused: u64,
}

/// A snapshot that is being read: the kernel reads out one table at a time.
struct Snapshot {
    /// The place in [`DUMPS`].
    step: usize,
    sequence: u32,
    /// Whether the kernel said that a table changed while it was read out.
    is_torn: bool,
    attempts: u32,
}

/// An interface's index.
///
/// # Errors
/// There is none of that name.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(rustix::net::netdevice::name_to_index(socket, name)?)
}

impl Netlink {
    /// Subscribes to the changes of the interface with this index, in the network namespace of the
    /// calling thread. Nothing is told before [`Netlink::snapshot`] or [`Netlink::drain`] is called, and
    /// the first of them begins with a snapshot. Needs no privilege.
    ///
    /// # Errors
    /// The system's.
    pub fn subscribe(interface: u32) -> io::Result<Netlink> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // NETLINK_ROUTE is protocol zero, which is the default.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        // Past the administrator's limit only with privilege; without, the limit is what there is.
        if sockopt::set_socket_recv_buffer_size_force(&socket, BACKLOG).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, BACKLOG)?;
        }
        let groups = libc::RTMGRP_LINK
            | libc::RTMGRP_NEIGH
            | libc::RTMGRP_IPV4_IFADDR
            | libc::RTMGRP_IPV6_IFADDR
            | libc::RTMGRP_IPV4_ROUTE
            | libc::RTMGRP_IPV6_ROUTE;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups as u32))?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Ok(Netlink { socket, interface, buffer, sequence: 0, snapshot: None, is_stale: true, refused: 0 })
    }

    /// Tells everything once, waiting for it.
    ///
    /// # Errors
    /// The system's, or the kernel did not answer for 10 s.
    pub fn snapshot(&mut self, sink: &mut dyn FnMut(Change)) -> io::Result<()> {
        self.is_stale = true;
        let deadline = clock::now().saturating_add(PATIENCE.as_nanos() as u64);
        loop {
            self.drain(sink)?;
            if !self.is_stale && self.snapshot.is_none() {
                return Ok(());
            }
            let left = deadline.saturating_sub(clock::now());
            let left = Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as _ };
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tells what has changed, without waiting: at most 64 reads of 32 KiB, the rest at the next call.
    /// What may have been missed (the kernel's backlog overflowed, or a change of a kind that the kernel
    /// does not announce) begins a snapshot, whose parts this and the following calls tell.
    ///
    /// # Errors
    /// The system's, such as out of memory. The subscription stays.
    pub fn drain(&mut self, sink: &mut dyn FnMut(Change)) -> io::Result<()> {
        for _ in 0..READS {
            match rustix::net::recvfrom(&self.socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, length, from)) if is_kernel(from.as_ref()) => self.read(length, sink)?,
                Ok(_) | Err(Errno::INTR) => {}
                // Not before what is older has been told: it must not count as part of the snapshot.
                Err(Errno::AGAIN) if self.is_stale && self.snapshot.is_none() => self.begin_snapshot(0, sink)?,
                Err(Errno::AGAIN) => return Ok(()),
                // Changes were lost, perhaps with the end of the table that is read out.
                Err(Errno::NOBUFS) => {
                    self.is_stale = true;
                    self.snapshot = None;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Has the kernel find or confirm the link address of a neighbour (ARP, neighbour discovery), as if it
    /// had a packet for it. What it finds is told by [`Netlink::drain`]. Needs CAP_NET_ADMIN; if the
    /// kernel refuses, that is counted ([`Netlink::refused`]).
    ///
    /// # Errors
    /// The request could not be sent.
    pub fn resolve(&mut self, next_hop: IpAddr) -> io::Result<()> {
        let sequence = self.next_sequence();
        self.send(&message::use_neighbour(self.interface, next_hop, sequence))
    }

    /// Tells the kernel that a neighbour whose link address it knows was heard, as TCP does when its data
    /// is acknowledged (RFC 4861 §7.3.1), which spares the probe. Not for entries that the operator has set:
    /// they would become ordinary ones. Needs CAP_NET_ADMIN.
    ///
    /// # Errors
    /// The request could not be sent.
    pub fn confirm(&mut self, next_hop: IpAddr) -> io::Result<()> {
        let sequence = self.next_sequence();
        self.send(&message::confirm_neighbour(self.interface, next_hop, sequence))
    }

    /// How many requests the kernel has refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The interface's index.
    pub fn interface(&self) -> u32 {
        self.interface
    }

    /// Readable when [`Netlink::drain`] has something to tell.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn read(&mut self, length: usize, sink: &mut dyn FnMut(Change)) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut octets = buffer.get(..length).unwrap_or_default();
        let mut outcome = Ok(());
        while let Some(message) = Message::cut(&mut octets) {
            outcome = outcome.and(self.take(&message, sink));
        }
        self.buffer = buffer;
        outcome
    }

    fn take(&mut self, message: &Message<'_>, sink: &mut dyn FnMut(Change)) -> io::Result<()> {
        let is_snapshot = self.snapshot.as_ref().is_some_and(|snapshot| snapshot.sequence == message.sequence);
        if is_snapshot && message.flags & libc::NLM_F_DUMP_INTR as u16 != 0 {
            self.snapshot.iter_mut().for_each(|snapshot| snapshot.is_torn = true);
        }
        match i32::from(message.kind) {
            libc::NLMSG_DONE if is_snapshot => self.continue_snapshot(sink)?,
            // A table of the snapshot that was given up is still being read out.
            libc::NLMSG_ERROR if is_snapshot && message.error() == libc::EBUSY => {
                self.snapshot = None;
                self.is_stale = true;
            }
            libc::NLMSG_ERROR if is_snapshot && message.error() != 0 => {
                self.snapshot = None;
                return Err(io::Error::from_raw_os_error(message.error()));
            }
            libc::NLMSG_ERROR if message.error() != 0 => self.refused += 1,
            _ => {
                message.tell(self.interface, &mut *sink);
                self.is_stale |= !is_snapshot && self.hides_changes(message);
            }
        }
        Ok(())
    }

    /// IPv4 routes go without notice when the interface goes down or loses an address that they name.
    fn hides_changes(&self, message: &Message<'_>) -> bool {
        let mut hides = false;
        message.tell(self.interface, &mut |change| {
            hides |= match change {
                Change::Link(link) => !link.is_up || !link.present,
                Change::Address(address) => !address.present,
                _ => false,
            }
        });
        hides
    }

    fn begin_snapshot(&mut self, attempts: u32, sink: &mut dyn FnMut(Change)) -> io::Result<()> {
        self.is_stale = false;
        self.snapshot = Some(Snapshot { step: 0, sequence: 0, is_torn: false, attempts });
        sink(Change::SnapshotBegins);
        self.request()
    }

    fn continue_snapshot(&mut self, sink: &mut dyn FnMut(Change)) -> io::Result<()> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        snapshot.step += 1;
        if snapshot.step < DUMPS.len() {
            return self.request();
        }
        let (is_torn, attempts) = (snapshot.is_torn, snapshot.attempts + 1);
        self.snapshot = None;
        if is_torn && attempts < ATTEMPTS {
            return self.begin_snapshot(attempts, sink);
        }
        sink(Change::SnapshotEnds);
        Ok(())
    }

    /// Asks for the table that the snapshot has come to.
    fn request(&mut self) -> io::Result<()> {
        let sequence = self.next_sequence();
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        snapshot.sequence = sequence;
        let message = message::dump(DUMPS[snapshot.step], sequence);
        self.send(&message).inspect_err(|_| {
            self.snapshot = None;
            self.is_stale = true;
        })
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        let kernel = SocketAddrNetlink::new(KERNEL, 0);
        rustix::net::sendto(&self.socket, message, SendFlags::DONTWAIT, &kernel)?;
        Ok(())
    }

    /// Not zero: notifications that nobody asked for have that.
    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }
}

fn is_kernel(from: Option<&SocketAddrAny>) -> bool {
    from.and_then(|from| SocketAddrNetlink::try_from(from.clone()).ok()).is_some_and(|from| from.pid() == KERNEL)
}
