//! Who a request is from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use afpa_engine::Context;
use afpa_engine::seam::Address;

use crate::module::Http;
use crate::syntax::client_address::client_address;
use crate::syntax::fields;

/// The client's address: the peer's, unless the peer is a proxy that is trusted and tells another. Looked up once for
/// each request that asks.
pub(super) fn client(cx: &mut Context<'_, Http>) -> IpAddr {
    if let Some(client) = cx.request.client {
        return client;
    }
    let peer = peer(cx).ip();
    let octets = cx.request.head(cx.input.unread());
    let client = match &cx.global.relaying {
        Some(relaying) => {
            let forwarding = &relaying.relay.relay.forwarding;
            client_address(peer, fields(octets), forwarding.believed, |address| (forwarding.is_trusted)(address))
        }
        None => peer,
    };
    cx.request.client = Some(client);
    client
}

/// Where the client sent to: our end of the connection, or what a PROXY header names in its place. `None` on a Unix socket.
pub(super) fn destination(cx: &Context<'_, Http>) -> Option<SocketAddr> {
    cx.connection.destination.or_else(|| match cx.output.local() {
        Some(Address::Inet(address)) => Some(address),
        _ => None,
    })
}

/// The other end of the connection, or whom a PROXY header named in its place.
pub(super) fn peer(cx: &mut Context<'_, Http>) -> SocketAddr {
    let output = &cx.output;
    let peer = cx.connection.peer.get_or_insert_with(|| match output.peer() {
        Some(Address::Inet(address)) => Some(address),
        _ => None,
    });
    // A local peer over a Unix socket.
    peer.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}
