//! The link layer: which Ethernet header leads to whom.

use std::io;
use std::net::IpAddr;

use afpa_platform::netlink::Netlink;
use afpa_tcp::{Handle, Time};
use afpa_wire::{MacAddress, ethernet};

use crate::neighbours::{LinkHeader, Neighbours, Next};

/// Everybody on the link.
const BROADCAST: MacAddress = MacAddress([0xff; 6]);

/// The link headers that packets leave with, by the kernel's routes and neighbours; while it knows
/// none, back to where the peer's frames came from.
pub(crate) struct Links {
    own: MacAddress,
    neighbours: Neighbours,
    /// Where the kernel's tables come from. Without it (a cable in memory) the link has two ends only.
    kernel: Option<Netlink>,
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
    /// Reads the kernel's tables for the first time.
    ///
    /// # Errors
    /// The kernel does not tell them.
    pub(crate) fn new(own: MacAddress, mut kernel: Option<Netlink>) -> io::Result<Links> {
        let mut neighbours = Neighbours::new(None);
        if let Some(kernel) = &mut kernel {
            kernel.snapshot(&mut |change| neighbours.apply(&change))?;
        }
        let arriving = Origin { source: None, vlan: None };
        Ok(Links { own, neighbours, kernel, connections: Vec::new(), arriving, epoch: 0, scratch: None })
    }

    /// What tells of changes in the kernel's tables.
    pub(crate) fn kernel(&self) -> Option<&Netlink> {
        self.kernel.as_ref()
    }

    /// Takes changes of the kernel's tables over, and has it resolve what was needed.
    ///
    /// # Errors
    /// The kernel does not tell them any more.
    pub(crate) fn refresh(&mut self, now: Time) -> io::Result<()> {
        let Links { neighbours, kernel: Some(kernel), epoch, .. } = self else { return Ok(()) };
        let mut changed = false;
        kernel.drain(&mut |change| {
            neighbours.apply(&change);
            changed = true;
        })?;
        *epoch = epoch.wrapping_add(u32::from(changed));
        while let Some(next_hop) = neighbours.wanted(now) {
            // It is asked again when it is needed again.
            let _ = kernel.resolve(next_hop);
        }
        Ok(())
    }

    /// The interface's address to send from to `remote`.
    pub(crate) fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        self.neighbours.source_for(remote)
    }

    /// Takes a frame's link header off. Returns the IP packet in it, if it carries one.
    #[inline]
    pub(crate) fn arrived<'f>(&mut self, frame: &'f [u8]) -> Option<&'f [u8]> {
        let parsed = ethernet::Frame::parse(frame).ok()?;
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
        self.scratch.as_ref().map(LinkHeader::as_bytes)
    }

    fn look_up(&mut self, origin: Origin, remote: IpAddr) -> Option<LinkHeader> {
        if let (Some(source), Some(_)) = (origin.source, origin.vlan) {
            // The tables are those of the untagged interface.
            return Some(LinkHeader::new(source, self.own, origin.vlan, remote));
        }
        if self.kernel.is_none() {
            return Some(LinkHeader::new(origin.source.unwrap_or(BROADCAST), self.own, None, remote));
        }
        match self.neighbours.link_header(remote, origin.source) {
            Next::Known(header) => Some(header),
            Next::Unknown(_) | Next::NoRoute => None,
        }
    }
}
