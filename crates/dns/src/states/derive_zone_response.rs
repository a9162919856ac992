//! *Derive zone response*: answers from a zone.

use afpa_engine::{Context, Outcome};

use super::Envelope;
use crate::message::{Header, Rcode, Writer, flag};
use crate::module::{Carrier, Dns, Global};
use crate::query_log::Outcome as LogOutcome;
use crate::table::READY;

/// One descent through the zone, written into the response as it goes. Nothing on this way allocates or locks.
pub(crate) fn derive_zone_response(cx: &mut Context<'_, Dns>) -> Outcome {
    let input = cx.input.unread();
    let now = cx.now();
    let Global { settings, reply, options, driver, .. } = &mut *cx.global;
    let Some((query, question)) = cx.request.query(input).and_then(|query| Some((query, query.question?))) else {
        return READY;
    };
    let envelope = Envelope::of(&query, cx.connection, None, cx.request, settings, options);
    let available = if settings.forwards { flag::RA } else { 0 };
    let kept = query.header.flags & (flag::RD | flag::CD);
    let header = Header { id: query.header.id, flags: flag::QR | available | kept, counts: [0; 4] };
    let mut writer = Writer::new(reply, header, envelope.limit);
    writer.reserve(envelope.opt);
    let (mut rcode, mut wildcard_parent) = (Rcode::SERVFAIL, None);
    // A question fits 512 octets. The zone is there: it was chosen in this event.
    if writer.question(question.name, question.qtype, question.qclass).is_ok()
        && let Some(zone) = settings.zones.answering(&question)
    {
        let answered = zone.answer(&question, query.dnssec_ok(), &mut writer);
        (rcode, wildcard_parent) = (answered.rcode, answered.wildcard_parent);
        if let Some(driver) = driver.as_mut().filter(|_| cx.connection.carrier == Carrier::Datagram) {
            driver.of_zone(&query, zone, now);
        }
    }
    if envelope.opt > 0 {
        // Room was kept.
        let _ = writer.opt(settings.udp_size, rcode, query.dnssec_ok(), options);
    }
    writer.finish();
    (cx.request.rcode, cx.request.wildcard_parent) = (rcode, wildcard_parent);
    cx.request.outcome = Some(LogOutcome::Zone);
    READY
}
