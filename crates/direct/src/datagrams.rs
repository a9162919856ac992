//! UDP: sockets by address and port, and datagrams on their way out.

use std::collections::VecDeque;
use std::net::SocketAddr;

use afpa_engine::seam::{ListenerId, Owner, Segment};
use afpa_wire::checksum;
use afpa_wire::ip::{self, Ecn};
use afpa_wire::udp;

/// Datagrams that wait for room on the device; beyond it they are lost, as on any network.
const QUEUE: usize = 1024;

/// The datagram sockets of a transport.
#[derive(Default)]
pub(crate) struct Datagrams {
    sockets: Vec<Socket>,
    outgoing: VecDeque<Outgoing>,
    /// Buffers of packets that have left, kept for the next ones: at most [`QUEUE`].
    free: Vec<Vec<u8>>,
    /// Datagrams that were not queued.
    pub(crate) lost: u64,
}

struct Socket {
    local: SocketAddr,
    id: ListenerId,
    owner: Owner,
}

/// A packet on its way out.
pub(crate) struct Outgoing {
    pub(crate) remote: SocketAddr,
    /// IP header, UDP header, payload.
    pub(crate) packet: Vec<u8>,
}

impl Datagrams {
    pub(crate) fn listen(&mut self, local: SocketAddr, id: ListenerId, owner: Owner) {
        self.sockets.push(Socket { local, id, owner });
    }

    pub(crate) fn stop(&mut self) {
        self.sockets.clear();
    }

    /// The socket that a packet is for: an exact address goes before any.
    pub(crate) fn find(&self, to: SocketAddr) -> Option<(ListenerId, Owner)> {
        let any = |local: &SocketAddr| {
            local.ip().is_unspecified() && local.port() == to.port() && local.is_ipv4() == to.is_ipv4()
        };
        let exact = self.sockets.iter().find(|socket| socket.local == to);
        let socket = exact.or_else(|| self.sockets.iter().find(|socket| any(&socket.local)))?;
        Some((socket.id, socket.owner))
    }

    /// Queues one datagram from `local`, unless it is too large for the path, finds no room, or is of a file.
    pub(crate) fn send(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        mtu: usize,
        segments: &mut dyn Iterator<Item = Segment<'_>>,
    ) {
        let head = if remote.is_ipv4() { ip::V4_HEADER_LEN } else { ip::V6_HEADER_LEN } + udp::HEADER_LEN;
        let mut packet = self.free.pop().unwrap_or_default();
        packet.clear();
        packet.resize(head, 0);
        let mut is_whole = true;
        for segment in segments {
            is_whole &= append(&mut packet, segment);
        }
        if !is_whole || packet.len() > mtu || self.outgoing.len() >= QUEUE {
            self.lost += 1;
            return self.recycle(packet);
        }
        write_headers(&mut packet, local, remote);
        self.outgoing.push_back(Outgoing { remote, packet });
    }

    /// Where a socket is bound.
    pub(crate) fn local(&self, id: ListenerId) -> Option<SocketAddr> {
        self.sockets.iter().find(|socket| socket.id == id).map(|socket| socket.local)
    }

    pub(crate) fn front(&self) -> Option<&Outgoing> {
        self.outgoing.front()
    }

    /// The datagram in front has left.
    pub(crate) fn sent(&mut self) {
        if let Some(Outgoing { packet, .. }) = self.outgoing.pop_front() {
            self.recycle(packet);
        }
    }

    fn recycle(&mut self, packet: Vec<u8>) {
        if self.free.len() < QUEUE {
            self.free.push(packet);
        }
    }
}

/// Copies a segment behind what there is. Returns whether it is in memory.
fn append(packet: &mut Vec<u8>, segment: Segment<'_>) -> bool {
    match segment {
        Segment::Copy(octets) => packet.extend_from_slice(octets),
        Segment::Pinned(pin) => packet.extend_from_slice(&pin),
        Segment::Foreign(slice) => slice.append_to(packet),
        Segment::File(_) => return false,
    }
    true
}

/// Fills in the headers in front of a payload that is there.
fn write_headers(packet: &mut [u8], local: SocketAddr, remote: SocketAddr) {
    let network = if remote.is_ipv4() { ip::V4_HEADER_LEN } else { ip::V6_HEADER_LEN };
    let (head, datagram) = packet.split_at_mut(network);
    let header = ip::Header {
        source: local.ip(),
        destination: remote.ip(),
        protocol: ip::UDP,
        ecn: Ecn::NotCapable,
        payload_len: datagram.len(),
        identification: 0,
    };
    header.write(head);
    let payload_len = datagram.len() - udp::HEADER_LEN;
    udp::Header { source_port: local.port(), destination_port: remote.port(), payload_len }.write(datagram);
    let pseudo_header = checksum::pseudo_header(local.ip(), remote.ip(), ip::UDP, datagram.len() as u32);
    let sum = udp::checksum(datagram, pseudo_header);
    datagram[udp::CHECKSUM_OFFSET..udp::CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
}
