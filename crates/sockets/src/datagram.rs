//! Datagrams, the same for both drivers.

use std::net::SocketAddr;

use afpa_engine::seam::Events;
use rustix::net::{RecvFlags, recvfrom};

use crate::connection::Table;

/// Datagrams taken from one socket before others get their turn.
const BATCH: usize = 64;
/// The largest datagram (RFC 768: a length of 16 bits).
const LARGEST: usize = 65_535;

/// Raises what has arrived on the datagram socket at `index`.
pub(crate) fn receive(table: &mut Table, index: usize, events: &mut dyn Events) {
    let mut octets = vec![0; LARGEST];
    for _ in 0..BATCH {
        let Some((id, owner, socket)) = table.datagrams.get(index) else { return };
        let (id, owner) = (*id, *owner);
        match recvfrom(socket, &mut octets, RecvFlags::DONTWAIT) {
            Ok((length, _, from)) => {
                if let Some(peer) = from.and_then(|any| SocketAddr::try_from(any).ok()) {
                    events.datagram(table, id, owner, peer, &octets[..length]);
                }
            }
            // An earlier datagram was refused by its receiver; that says nothing of the next.
            Err(rustix::io::Errno::CONNREFUSED) => {}
            Err(_) => return,
        }
    }
}
