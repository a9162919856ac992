//! *Derive error response*: a code, and what is left of the query.

use afpa_engine::{Context, Outcome};

use super::{Envelope, write_bare};
use crate::message::{HEADER_LEN, Header, Rcode, Writer, flag};
use crate::module::{Dns, Global};
use crate::table::READY;

/// What could be read is returned with the code; of what could not, the header alone (RFC 1035 §4.1.1).
pub(crate) fn derive_error_response(cx: &mut Context<'_, Dns>) -> Outcome {
    let input = cx.input.unread();
    let Global { settings, reply, options, .. } = &mut *cx.global;
    let request = &*cx.request;
    let rcode = request.rcode;
    let query = request.query(input).filter(|_| request.malformed.is_none());
    let asked = query.map(|query| query.header).or(request.malformed).unwrap_or_default();
    let available = if settings.forwards { flag::RA } else { 0 };
    let kept = asked.flags & (0x7800 | flag::RD | flag::CD);
    let header = Header { id: asked.id, flags: flag::QR | available | kept | rcode.0 & 0xf, counts: [0; 4] };
    let envelope = query.map(|query| Envelope::of(&query, cx.connection, None, request, settings, options));
    let limit = envelope.as_ref().map_or(512, |envelope| envelope.limit);
    let opt: Option<&[u8]> = match envelope.is_some_and(|envelope| envelope.opt > 0) {
        true => Some(options),
        false => (rcode == Rcode::BADVERS).then_some(&[]),
    };
    let question = query.and_then(|query| query.question);
    let dnssec_ok = query.is_some_and(|query| query.dnssec_ok());
    write_bare(Writer::new(reply, header, limit), question, opt, settings.udp_size, rcode, dnssec_ok);
    debug_assert!(reply.len() >= HEADER_LEN);
    READY
}
