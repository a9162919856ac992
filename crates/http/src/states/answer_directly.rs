//! Answers what needs neither cache nor file: OPTIONS, redirects, listings.

use afpa_engine::{Context, Outcome};

use super::respond::{Answered, start};
use crate::access_log::CacheOutcome;
use crate::module::{Answer, Global, Http};
use crate::syntax::response::{self, ALLOW, PAGE_TYPE};
use crate::syntax::{Method, RequestHead};
use crate::table::READY;

/// Writes the head on the spot; a page that is long is left to the send engine.
pub fn answer_directly(cx: &mut Context<'_, Http>) -> Outcome {
    let persistence = cx.request.persistence();
    let answer = std::mem::take(&mut cx.request.answer);
    let octets = cx.request.head(cx.input.unread());
    let head = cx.request.parser.head();
    let Global { clock, scratch, .. } = &mut *cx.global;
    let status = match &answer {
        // RFC 9110 §9.3.7.
        Answer::Options | Answer::Nothing => 204,
        Answer::Redirect(_) => 301,
        Answer::RedirectTo(status, _) | Answer::Fixed(status, ..) => *status,
        Answer::Page(_) => 200,
    };
    start(scratch, status, clock, persistence);
    scratch.extend_from_slice(cx.request.routed.as_ref().map_or(&[][..], |routed| routed.added()));
    let page = match answer {
        Answer::Options | Answer::Nothing => {
            response::field(scratch, "Allow", ALLOW);
            Vec::new()
        }
        Answer::Redirect(location) => {
            let location = with_query(location, head, octets);
            response::location(scratch, &location);
            html(scratch, response::redirect_page(status, &location).into_bytes())
        }
        Answer::Page(page) => html(scratch, page),
        Answer::RedirectTo(_, location) => {
            response::location(scratch, &location);
            html(scratch, response::redirect_page(status, &location).into_bytes())
        }
        Answer::Fixed(_, content_type, body) => fixed(scratch, status, &content_type, &body),
    };
    response::end(scratch);
    cx.output.send(scratch);
    let mut payload = 0;
    if head.method() != Method::Head && !page.is_empty() {
        payload = page.len() as u64;
        cx.output.respond_bytes(page);
    }
    cx.request.outcome = None;
    cx.request.answered(Answered { status, payload, outcome: CacheOutcome::None });
    READY
}

/// RFC 9110 §15.3.5, §15.4.5: some statuses have no content.
fn fixed(out: &mut Vec<u8>, status: u16, content_type: &str, body: &[u8]) -> Vec<u8> {
    if matches!(status, 204 | 304) {
        return Vec::new();
    }
    response::field_number(out, "Content-Length", body.len() as u64);
    if !content_type.is_empty() {
        response::field(out, "Content-Type", content_type);
    }
    body.to_vec()
}

fn html(out: &mut Vec<u8>, page: Vec<u8>) -> Vec<u8> {
    response::field_number(out, "Content-Length", page.len() as u64);
    response::field(out, "Content-Type", PAGE_TYPE);
    page
}

/// A redirect keeps the query as it was sent.
fn with_query(mut location: Vec<u8>, head: &RequestHead, octets: &[u8]) -> Vec<u8> {
    if let Some(query) = head.query(octets) {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}
