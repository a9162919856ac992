//! *Derive deferred response* (AFPA §3.2): the connection itself goes to a local server, which then owns it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use afpa_engine::seam::{Address, Released};
use afpa_engine::{Context, Outcome, Wake};
use afpa_platform::hand_over::{Addresses, HandOver};
use afpa_routing::Target;

use crate::module::Http;
use crate::syntax::response;
use crate::table::{GONE, PENDING, REFUSED};

/// How long the local server may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// The transport lets go of it, and a worker passes it on with everything that was read and not consumed: the request
/// is still the first of it. A transport that has no descriptors cannot do that.
pub fn derive_deferred_response(cx: &mut Context<'_, Http>) -> Outcome {
    match cx.wake {
        Wake::Continued => release(cx),
        Wake::Released => hand_over(cx),
        Wake::Completed => {
            let passed = cx.completion::<std::io::Result<()>>();
            if matches!(passed, Some(Some(Ok(())))) {
                cx.global.stats.handed_over.increment();
            }
            GONE
        }
        // What is queued has to leave first, and the peer does not take it.
        Wake::Expired => GONE,
        _ => PENDING,
    }
}

fn release(cx: &mut Context<'_, Http>) -> Outcome {
    // A local server over a Unix socket has no use for a peer without an address.
    let has_address = matches!(cx.output.peer(), Some(Address::Inet(_)));
    if !has_address || !cx.request.kept_head.is_empty() || !cx.release() {
        cx.request.refuse_and_close(502);
        return REFUSED;
    }
    cx.arm_after(2 * PATIENCE);
    PENDING
}

fn hand_over(cx: &mut Context<'_, Http>) -> Outcome {
    let Some(Released { socket, octets }) = cx.released() else { return GONE };
    let path = cx.request.routed.as_ref().and_then(|routed| match routed.route().target {
        Target::Deferred(number) => routed.relay.relay.deferred.get(number).cloned(),
        _ => None,
    });
    let (Some(path), Ok(addresses)) = (path, Addresses::of(socket.as_fd())) else { return GONE };
    let job = HandOver::new(socket, octets, addresses, refusal());
    match cx.spawn(move || job.run(&path, PATIENCE)) {
        Ok(()) => PENDING,
        // The job says so to the client when it is dropped.
        Err(_) => GONE,
    }
}

/// What a client gets that nobody takes.
fn refusal() -> Arc<[u8]> {
    let page = response::error_page(503);
    let mut answer = Vec::new();
    response::status_line(&mut answer, 503);
    response::field(&mut answer, "Content-Type", response::PAGE_TYPE);
    response::field_number(&mut answer, "Content-Length", page.len() as u64);
    response::field_number(&mut answer, "Retry-After", 1);
    response::field(&mut answer, "Connection", "close");
    response::end(&mut answer);
    answer.extend_from_slice(page.as_bytes());
    answer.into()
}
