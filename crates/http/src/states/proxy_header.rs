//! The PROXY protocol's header in front of a connection's first request.

use afpa_engine::Context;
use afpa_wire::proxy_protocol::{Parsed, read};

use super::client::peer;
use crate::module::Http;

/// What came of looking for it.
pub(super) enum Header {
    /// It was read, or none is expected: the first request follows.
    Passed,
    /// More of it has to come.
    Incomplete,
    /// It is none. Nothing can be believed of who the client is.
    Malformed,
}

/// Reads it, if the peer is one that sends it.
pub(super) fn read_header(cx: &mut Context<'_, Http>) -> Header {
    let address = peer(cx).ip();
    let sends = cx.global.relaying.as_ref().is_some_and(|it| (it.relay.relay.forwarding.sends_header)(address));
    if !sends {
        cx.connection.awaits_header = false;
        return Header::Passed;
    }
    match read(cx.input.unread()) {
        Ok(Parsed::Whole(header, length)) => {
            cx.input.consume(length);
            cx.connection.awaits_header = false;
            if let Some(endpoints) = header.endpoints {
                cx.connection.peer = Some(Some(endpoints.source));
                cx.connection.destination = Some(endpoints.destination);
            }
            Header::Passed
        }
        Ok(Parsed::Incomplete) => Header::Incomplete,
        Err(_) => Header::Malformed,
    }
}
