//! The state functions, one file each.

pub mod answer_directly;
pub mod check_body;
pub mod complete_request;
pub mod derive_cached_response;
pub mod derive_error_response;
pub mod derive_miss_response;
pub mod derive_request;
pub mod derive_uncached_response;
pub mod drain_request;
pub mod linger;
mod respond;
pub mod send_response;

use afpa_engine::Context;

use crate::module::{Http, Refusal, Request};

impl Request {
    /// The request's head: where it arrived, or the copy that was kept of it.
    pub(crate) fn head<'a>(&'a self, unread: &'a [u8]) -> &'a [u8] {
        if self.kept_head.is_empty() { &unread[..self.head_length.min(unread.len())] } else { &self.kept_head }
    }

    /// Remembers why the request is refused.
    pub(crate) fn refuse(&mut self, status: u16) {
        self.refusal = Some(Refusal { status, closes: false, retry_after: status == 503 });
    }

    /// Remembers why the request is refused, and that the connection ends with it.
    pub(crate) fn refuse_and_close(&mut self, status: u16) {
        self.refusal = Some(Refusal { status, closes: true, retry_after: false });
        self.persistent = false;
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
