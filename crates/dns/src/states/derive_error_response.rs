//! *Derive error response*: a code, and what is left of the query.

use afpa_engine::{Context, Outcome};

use super::Envelope;
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
    let mut writer = Writer::new(reply, header, limit);
    // A question and an OPT record always fit 512 octets, an NSID of any length aside, which then stays away.
    if let Some(question) = query.and_then(|query| query.question) {
        let _ = writer.question(question.name, question.qtype, question.qclass);
    }
    let opt = envelope.is_some_and(|envelope| envelope.opt > 0);
    if opt || rcode == Rcode::BADVERS {
        let dnssec_ok = query.is_some_and(|query| query.dnssec_ok());
        let options: &[u8] = if opt { options } else { &[] };
        if writer.opt(settings.udp_size, rcode, dnssec_ok, options).is_err() {
            let _ = writer.opt(settings.udp_size, rcode, dnssec_ok, &[]);
        }
    }
    writer.finish();
    debug_assert!(reply.len() >= HEADER_LEN);
    READY
}
