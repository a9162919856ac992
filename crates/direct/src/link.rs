//! The link layer: which Ethernet header leads to whom.

use std::io;
use std::net::IpAddr;

use afpa_platform::netlink::{Change, Netlink};
use afpa_tcp::{Handle, Time};
use afpa_wire::{MacAddress, ethernet};

use crate::host::{Arrived, Host};
use crate::neighbours::{LinkHeader, Neighbours, Next};
use crate::resolution::Notice;

/// Everybody on the link.
const BROADCAST: MacAddress = MacAddress([0xff; 6]);

/// The link headers that packets leave with, by the kernel's routes and neighbours; while it knows
/// none, back to where the peer's frames came from.
pub(crate) struct Links {
    own: MacAddress,
    neighbours: Neighbours,
    /// Where the kernel's tables come from. Without it, and without a host of our own (a cable in memory), the
    /// link has two ends only.
    kernel: Option<Netlink>,
    /// We answer and ask ourselves: the kernel is another host on the link.
    host: Option<Host>,
    /// A packet could not leave since the last refresh.
    lacks: bool,
    /// By the connection's place.
    connections: Vec<Entry>,
    /// The frame that is being handled, or was last.
    arriving: Origin,
    /// Counts changes of the tables: an entry of an earlier one is looked up again.
    epoch: u32,
    scratch: Option<LinkHeader>,
}

/// A connection's way, and where its frames come from.
#[derive(Clone, Copy)]
struct Entry {
    generation: u32,
    epoch: u32,
    origin: Origin,
    header: LinkHeader,
}

#[derive(Clone, Copy)]
struct Origin {
    source: Option<MacAddress>,
    vlan: Option<u16>,
}

impl Links {
    /// Reads the kernel's tables for the first time. If we are a host of our own, `addresses` are ours.
    ///
    /// # Errors
    /// The kernel does not tell them.
    pub(crate) fn new(own: MacAddress, addresses: Option<&[IpAddr]>, kernel: Option<Netlink>) -> io::Result<Links> {
        let mut neighbours = Neighbours::new(None);
        let host = addresses.map(|addresses| Host::new(own, addresses, &mut neighbours));
        let arriving = Origin { source: None, vlan: None };
        let connections = Vec::new();
        let mut links =
            Links { own, neighbours, kernel, host, lacks: false, connections, arriving, epoch: 0, scratch: None };
        if let Links { neighbours, kernel: Some(kernel), host, .. } = &mut links {
            kernel.snapshot(&mut |change| told(host, neighbours, &change))?;
        }
        Ok(links)
    }

    /// What tells of changes in the kernel's tables.
    pub(crate) fn kernel(&self) -> Option<&Netlink> {
        self.kernel.as_ref()
    }

    /// Takes changes of the kernel's tables over, and has resolved what was needed.
    ///
    /// # Errors
    /// The kernel does not tell them any more, or the interface is gone.
    pub(crate) fn refresh(&mut self, now: Time) -> io::Result<()> {
        let Links { neighbours, kernel, host, epoch, lacks, .. } = self;
        *lacks = false;
        if let Some(kernel) = kernel {
            let (mut changed, mut is_gone) = (false, false);
            kernel.drain(&mut |change| {
                is_gone |= matches!(change, Change::Link(link) if !link.present);
                told(host, neighbours, &change);
                changed = true;
            })?;
            if is_gone {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the interface is gone"));
            }
            *epoch = epoch.wrapping_add(u32::from(changed));
        }
        match (host, kernel) {
            (Some(host), _) => {
                if host.refresh(now, neighbours) {
                    *epoch = epoch.wrapping_add(1);
                }
            }
            (None, Some(kernel)) => {
                while let Some(next_hop) = neighbours.wanted(now) {
                    // It is asked again when it is needed again.
                    let _ = kernel.resolve(next_hop);
                }
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Whether [`Links::refresh`] has something to do now: a packet could not leave, or time has come.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.lacks || self.next_deadline() <= now
    }

    /// When time alone brings something.
    pub(crate) fn next_deadline(&self) -> Time {
        self.host.as_ref().map_or(Time::NEVER, Host::next_deadline)
    }

    /// The next frame of our host's own that is to be sent, if it has any.
    pub(crate) fn notice(&self) -> Option<&Notice> {
        self.host.as_ref().and_then(Host::front)
    }

    /// The host's frame in front has left.
    pub(crate) fn noticed(&mut self) {
        if let Some(host) = &mut self.host {
            host.sent();
        }
    }

    /// The interface's address to send from to `remote`.
    pub(crate) fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        self.neighbours.source_for(remote)
    }

    /// Takes a frame's link header off. Returns the IP packet in it, if it carries one.
    #[inline]
    pub(crate) fn arrived<'f>(&mut self, now: Time, frame: &'f [u8]) -> Option<&'f [u8]> {
        let parsed = ethernet::Frame::parse(frame).ok()?;
        if let Some(host) = &mut self.host {
            match host.arrived(now, frame, &parsed, &mut self.neighbours) {
                Arrived::Foreign => return None,
                Arrived::Ours => {}
                Arrived::News => self.epoch = self.epoch.wrapping_add(1),
            }
        }
        if !matches!(parsed.ether_type, ethernet::IPV4 | ethernet::IPV6) {
            return None;
        }
        self.arriving = Origin { source: Some(parsed.source), vlan: parsed.vlan };
        Some(parsed.payload)
    }

    /// The connection `handle` was opened by the frame that is being handled.
    pub(crate) fn opened(&mut self, handle: Handle, remote: IpAddr) {
        let index = handle.index as usize;
        let Some(header) = self.look_up(self.arriving, remote) else { return };
        let entry = Entry { generation: handle.generation, epoch: self.epoch, origin: self.arriving, header };
        if let Some(place) = self.connections.get_mut(index) {
            *place = entry;
        } else {
            // Places are given out from the lowest on.
            self.connections.resize(index + 1, entry);
        }
    }

    /// The header that leads to `remote`; `None` if it is not known yet.
    #[inline]
    pub(crate) fn header(&mut self, connection: Option<Handle>, remote: IpAddr) -> Option<&[u8]> {
        let place = connection.map(|handle| (handle.index as usize, handle.generation));
        if let Some((index, generation)) = place
            && self.connections.get(index).is_some_and(|entry| entry.generation == generation)
        {
            if self.connections[index].epoch != self.epoch {
                let header = self.look_up(self.connections[index].origin, remote)?;
                let entry = &mut self.connections[index];
                (entry.epoch, entry.header) = (self.epoch, header);
            }
            return Some(self.connections[index].header.as_bytes());
        }
        // What we begin ourselves, and replies that belong to no connection.
        let origin = match connection {
            Some(_) => Origin { source: None, vlan: None },
            None => self.arriving,
        };
        self.scratch = self.look_up(origin, remote);
        self.lacks |= self.scratch.is_none();
        self.scratch.as_ref().map(LinkHeader::as_bytes)
    }

    fn look_up(&mut self, origin: Origin, remote: IpAddr) -> Option<LinkHeader> {
        if let (Some(source), Some(_)) = (origin.source, origin.vlan) {
            // The tables are those of the untagged interface.
            return Some(LinkHeader::new(source, self.own, origin.vlan, remote));
        }
        if self.kernel.is_none() && self.host.is_none() {
            return Some(LinkHeader::new(origin.source.unwrap_or(BROADCAST), self.own, None, remote));
        }
        match self.neighbours.link_header(remote, origin.source) {
            Next::Known(header) => Some(header),
            Next::Unknown(_) | Next::NoRoute => None,
        }
    }
}

fn told(host: &Option<Host>, neighbours: &mut Neighbours, change: &Change) {
    match host {
        Some(host) => host.told(change, neighbours),
        None => neighbours.apply(change),
    }
}
