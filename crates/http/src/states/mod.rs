//! The state functions, one file each.

pub mod admit_request;
pub mod answer_directly;
pub mod await_turn;
pub mod check_body;
pub mod choose_route;
mod client;
pub mod complete_request;
pub mod derive_cached_response;
pub mod derive_deferred_response;
pub mod derive_error_response;
mod derive_kept_response;
pub mod derive_miss_response;
pub mod derive_remote_response;
pub mod derive_request;
pub mod derive_uncached_response;
pub mod drain_request;
mod invalidate;
pub mod linger;
mod proxy_header;
mod remote_body;
mod remote_request;
mod respond;
pub mod send_response;
pub mod tunnel;

pub(crate) use respond::Representation;

use afpa_engine::Context;
use afpa_routing::Target;

use crate::module::{Http, Refusal, Request};
use crate::syntax::Body;

impl Request {
    /// Whether another server is to answer it.
    #[inline]
    pub(crate) fn is_for_others(&self) -> bool {
        let target = self.routed.as_ref().map(|routed| &routed.route().target);
        matches!(target, Some(Target::Pool(_)))
    }

    /// The request's head: where it arrived, or the copy that was kept of it.
    pub(crate) fn head<'a>(&'a self, unread: &'a [u8]) -> &'a [u8] {
        if self.kept_head.is_empty() { &unread[..self.head_length.min(unread.len())] } else { &self.kept_head }
    }

    /// Whether a body follows of which nobody has looked where it ends.
    pub(crate) fn has_unread_chunks(&self) -> bool {
        !self.is_body_read && self.parser.head().body() == Body::Chunked
    }

    /// Remembers why the request is refused.
    pub(crate) fn refuse(&mut self, status: u16) {
        self.refusal = Some(Refusal { status, closes: false, retry_after: u32::from(status == 503) });
    }

    /// Remembers why the request is refused, and that the connection ends with it.
    pub(crate) fn refuse_and_close(&mut self, status: u16) {
        self.refusal = Some(Refusal { status, closes: true, retry_after: 0 });
        self.persistent = false;
    }

    /// Makes the refusal the last answer on its connection.
    pub(crate) fn close_after_refusal(&mut self) {
        if let Some(refusal) = &mut self.refusal {
            refusal.closes = true;
        }
    }

    /// Remembers that there is too much to do for it. A body that was not read is not waited for.
    pub(crate) fn turn_away(&mut self, refusal: &afpa_classes::Refusal) {
        let closes = !self.is_body_read && self.parser.head().body() != Body::None;
        self.refusal = Some(Refusal { status: refusal.status(), closes, retry_after: refusal.retry_after });
    }
}

/// Copies the head of a request that outlives the event that brought it, and consumes it.
pub(crate) fn keep_head(cx: &mut Context<'_, Http>) {
    if cx.request.kept_head.is_empty() && cx.input.is_present() {
        let length = cx.request.head_length;
        cx.request.kept_head.extend_from_slice(&cx.input.unread()[..length]);
        cx.input.consume(length);
    }
}

/// Tells those whose turn it is.
pub(crate) fn tell_called(cx: &mut Context<'_, Http>) {
    let called = cx.global.quality().map(|quality| quality.take_called());
    called.into_iter().flatten().for_each(|notice| cx.notify(notice));
}
