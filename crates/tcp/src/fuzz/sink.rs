//! The device: looks at each packet as a peer would.

use std::net::SocketAddr;
use std::rc::Rc;

use afpa_wire::ip;
use afpa_wire::tcp::{self, Flags, Options, Segment};

use crate::handle::Handle;
use crate::packet::{Packet, Sink};

/// Takes packets, as many as there is room for.
pub(super) struct Device {
    pub(super) room: usize,
    /// Zero, or what the device cuts.
    pub(super) max_payload: usize,
    pub(super) mtu: usize,
    pub(super) sent: Vec<Sent>,
}

/// A packet that left, taken apart. One that the device cuts is whole here.
pub(super) struct Sent {
    pub(super) handle: Option<Handle>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    pub(super) flags: Flags,
    pub(super) window: u16,
    pub(super) options: Options,
    pub(super) payload: Vec<u8>,
}

impl Sink<Rc<[u8]>> for Device {
    fn max_payload(&self) -> usize {
        self.max_payload
    }

    fn transmit(&mut self, packet: Packet<'_, Rc<[u8]>>) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        let mut octets = packet.headers.to_vec();
        packet.pieces.iter().for_each(|piece| octets.extend_from_slice(piece.bytes()));
        self.check_size(&packet, octets.len());
        let sent = taken_apart(&packet, &octets);
        assert_eq!(sent.remote.ip(), packet.remote, "the address of the link header");
        self.sent.push(sent);
        true
    }
}

impl Device {
    fn check_size(&self, packet: &Packet<'_, Rc<[u8]>>, len: usize) {
        let payload = len - packet.headers.len();
        match packet.segment_size.map(usize::from) {
            None => assert!(len <= self.mtu, "a packet of {len} octets, uncut"),
            Some(size) => {
                assert!(size > 0 && packet.headers.len() + size <= self.mtu, "segments of {size} octets");
                assert!(payload > size && payload <= self.max_payload, "{payload} octets to be cut by {size}");
            }
        }
    }
}

fn taken_apart(packet: &Packet<'_, Rc<[u8]>>, octets: &[u8]) -> Sent {
    let Ok(parsed) = ip::Packet::parse(octets) else { panic!("no IP packet: {octets:02x?}") };
    assert_eq!(parsed.octets().len(), octets.len(), "the IP header says how long the packet is");
    assert_eq!(parsed.protocol(), ip::TCP);
    let Ok(segment) = Segment::parse(parsed.payload()) else { panic!("no segment: {octets:02x?}") };
    let pseudo_header = parsed.pseudo_header();
    match packet.segment_size {
        None => assert_eq!(tcp::is_intact(parsed.payload(), pseudo_header), tcp::Integrity::Whole, "{segment:?}"),
        Some(_) => assert!(tcp::is_partial(parsed.payload(), pseudo_header), "{segment:?}"),
    }
    Sent {
        handle: packet.handle,
        local: SocketAddr::new(parsed.source(), segment.source_port),
        remote: SocketAddr::new(parsed.destination(), segment.destination_port),
        sequence: segment.sequence,
        acknowledgment: segment.acknowledgment,
        flags: segment.flags,
        window: segment.window,
        options: segment.options,
        payload: segment.payload.to_vec(),
    }
}
