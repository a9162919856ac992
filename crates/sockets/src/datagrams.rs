//! What datagram sockets send through a ring, and where their peers' datagrams were addressed to.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use afpa_engine::seam::Segment;
use afpa_platform::datagram::Datagram;

/// Datagrams that may wait for the kernel, and their octets.
const MOST: usize = 1024;
const MOST_OCTETS: usize = 4 << 20;
/// Octets for which a datagram that waits to be used keeps room.
const KEPT: usize = 4096;
/// Peers whose datagrams' destinations are remembered, a power of two.
const PEERS: usize = 4096;

/// Datagrams on their way to the kernel.
#[derive(Default)]
pub(crate) struct Outbox {
    /// With the number of the listener that each leaves from.
    queue: VecDeque<(u16, Box<Datagram>)>,
    #[expect(clippy::vec_box, reason = "a datagram keeps its box from here to the ring and back")]
    free: Vec<Box<Datagram>>,
    /// Those in the queue and in the ring.
    count: usize,
    octets: usize,
}

impl Outbox {
    /// Queues a datagram. Returns whether there was room, and nothing but memory in it.
    pub(crate) fn push(
        &mut self,
        listener: u16,
        to: SocketAddr,
        from: Option<IpAddr>,
        segments: &mut dyn Iterator<Item = Segment<'_>>,
    ) -> bool {
        if self.count >= MOST || self.octets >= MOST_OCTETS {
            return false;
        }
        let mut datagram = self.free.pop().unwrap_or_default();
        if !collect(&mut datagram.octets, segments) {
            self.keep(datagram);
            return false;
        }
        datagram.address(to, from);
        self.count += 1;
        self.octets += datagram.octets.len();
        self.queue.push_back((listener, datagram));
        true
    }

    /// How many are in the queue and in the ring.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next one for the ring.
    pub(crate) fn pop(&mut self) -> Option<(u16, Box<Datagram>)> {
        self.queue.pop_front()
    }

    /// The ring is done with a datagram.
    pub(crate) fn done(&mut self, datagram: Box<Datagram>) {
        self.count -= 1;
        self.octets -= datagram.octets.len();
        self.keep(datagram);
    }

    fn keep(&mut self, mut datagram: Box<Datagram>) {
        datagram.octets.clear();
        datagram.octets.shrink_to(KEPT);
        self.free.push(datagram);
    }
}

/// Copies a datagram's octets. Returns whether all of them are in memory.
pub(crate) fn collect(octets: &mut Vec<u8>, segments: &mut dyn Iterator<Item = Segment<'_>>) -> bool {
    octets.clear();
    for segment in segments {
        match segment {
            Segment::Copy(bytes) => octets.extend_from_slice(bytes),
            Segment::Pinned(pin) => octets.extend_from_slice(&pin),
            Segment::Foreign(slice) => slice.append_to(octets),
            Segment::File(_) => return false,
        }
    }
    true
}

/// Which of our addresses each peer of a socket has last written to: a socket that is bound to all of them answers
/// from there. Bounded: of two peers that fall on one place, the later one is known.
pub(crate) struct Destinations {
    places: Vec<Option<(SocketAddr, IpAddr)>>,
    hasher: RandomState,
}

impl Default for Destinations {
    fn default() -> Destinations {
        Destinations { places: vec![None; PEERS], hasher: RandomState::new() }
    }
}

impl Destinations {
    pub(crate) fn note(&mut self, peer: SocketAddr, ours: IpAddr) {
        let place = self.place(peer);
        self.places[place] = Some((peer, ours));
    }

    pub(crate) fn of(&self, peer: SocketAddr) -> Option<IpAddr> {
        self.places[self.place(peer)].filter(|(known, _)| *known == peer).map(|(_, ours)| ours)
    }

    fn place(&self, peer: SocketAddr) -> usize {
        // Peers choose their addresses, and shall not choose whom they displace.
        self.hasher.hash_one((peer.ip(), peer.port())) as usize & (PEERS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(outbox: &mut Outbox, octets: &[u8]) -> usize {
        let peer = SocketAddr::from(([127, 0, 0, 1], 53));
        (0..2 * MOST).take_while(|_| outbox.push(0, peer, None, &mut [Segment::Copy(octets)].into_iter())).count()
    }

    #[test]
    fn a_full_outbox_takes_nothing_until_the_ring_is_done() {
        let mut outbox = Outbox::default();
        assert_eq!(fill(&mut outbox, b"x"), MOST);
        let taken: Vec<_> = std::iter::from_fn(|| outbox.pop()).collect();
        assert_eq!((taken.len(), fill(&mut outbox, b"x")), (MOST, 0));
        taken.into_iter().for_each(|(_, datagram)| outbox.done(datagram));
        assert_eq!(fill(&mut outbox, &[0; 60_000]), MOST_OCTETS.div_ceil(60_000));
    }

    #[test]
    fn a_destination_is_its_peer_s_alone() {
        let mut destinations = Destinations::default();
        let peers: Vec<SocketAddr> = (1..20_000).map(|port| SocketAddr::from(([192, 0, 2, 1], port))).collect();
        let ours = |peer: &SocketAddr| IpAddr::from([127, 0, (peer.port() >> 8) as u8, peer.port() as u8]);
        peers.iter().for_each(|peer| destinations.note(*peer, ours(peer)));
        let known: Vec<_> = peers.iter().filter_map(|peer| Some((peer, destinations.of(*peer)?))).collect();
        assert!(!known.is_empty() && known.len() <= PEERS);
        assert!(known.iter().all(|(peer, address)| *address == ours(peer)));
    }
}
