//! *Transfer zone*: sends a whole zone (AXFR, RFC 5936), as fast as the peer takes it.

use afpa_engine::{Context, Outcome, Time, Wake};

use super::Envelope;
use crate::message::{Class, ExtendedError, Full, Header, Rcode, Section, Writer, flag};
use crate::module::{Dns, Global, Progress};
use crate::query_log::Outcome as LogOutcome;
use crate::table::{BLOCKED, REFUSED, SENT, STALLED};
use crate::zone::TransferRecord;

/// Octets of each message but the last: many records share a header, and pointers still reach the first names.
const MESSAGE: usize = 16 * 1024;

/// The zone is the one that was served when the transfer began, whatever is loaded meanwhile.
pub(crate) fn transfer_zone(cx: &mut Context<'_, Dns>) -> Outcome {
    if cx.wake == Wake::Expired {
        return STALLED;
    }
    if cx.request.transfer.is_none() {
        begin(cx);
    }
    let mut is_progress = matches!(cx.wake, Wake::Continued | Wake::Sent);
    while cx.output.space() > 0 {
        match next_message(cx) {
            None => {
                cx.request.refuse(Rcode::SERVFAIL, Some(ExtendedError::OTHER));
                return REFUSED;
            }
            Some(true) => is_progress = true,
            Some(false) => {
                cx.arm(Time::NEVER);
                return SENT;
            }
        }
    }
    // Whoever takes nothing for so long is cut off.
    if is_progress {
        cx.arm_after(cx.global.settings.limits.idle_timeout);
    }
    BLOCKED
}

/// The query is kept: the events to come do not bring it again.
fn begin(cx: &mut Context<'_, Dns>) {
    cx.request.kept = super::octets(cx).to_vec();
    cx.input.consume(cx.request.end);
    (cx.request.start, cx.request.end) = (0, 0);
    let settings = &cx.global.settings;
    let zone = cx.request.query(&[]).and_then(|query| settings.zones.find(query.question?.name).cloned());
    cx.request.transfer = zone.map(|zone| Progress { position: zone.transfer().position(), zone, is_first: true });
    cx.request.outcome = Some(LogOutcome::Zone);
}

/// Sends the next message. Whether there is another; `None` if nothing can be sent.
fn next_message(cx: &mut Context<'_, Dns>) -> Option<bool> {
    let Global { reply, options, settings, .. } = &mut *cx.global;
    let mut progress = cx.request.transfer.take()?;
    let query = cx.request.query(&[])?;
    let question = query.question?;
    let header = Header { id: query.header.id, flags: flag::QR | flag::AA, counts: [0; 4] };
    let mut writer = Writer::new(reply, header, MESSAGE);
    let mut opt = 0;
    if progress.is_first {
        writer.question(question.name, question.qtype, question.qclass).ok()?;
        // RFC 5936 §2.2.5: the first message has an OPT record if the query had one.
        opt = Envelope::of(&query, cx.connection, None, cx.request, settings, options).opt;
        writer.reserve(opt);
    }
    let mut transfer = progress.zone.transfer_from(progress.position);
    let mut left = transfer.next();
    while let Some(record) = &left {
        if write(&mut writer, record, question.qclass).is_err() {
            break;
        }
        progress.position = transfer.position();
        left = transfer.next();
    }
    if opt > 0 {
        // Room was kept.
        let _ = writer.opt(settings.udp_size, Rcode::NOERROR, query.dnssec_ok(), options);
    }
    let is_empty = writer.counts()[1] == 0;
    writer.finish();
    if let Some(record) = left.as_ref().filter(|_| is_empty) {
        // A record that is larger than a message of this size: one of its own.
        let mut writer = Writer::new(reply, header, usize::from(u16::MAX));
        write(&mut writer, record, question.qclass).ok()?;
        writer.finish();
        let mut transfer = progress.zone.transfer_from(progress.position);
        transfer.next();
        progress.position = transfer.position();
    }
    let more = progress.zone.transfer_from(progress.position).next().is_some();
    progress.is_first = false;
    cx.request.sent += reply.len();
    cx.output.send(&(reply.len() as u16).to_be_bytes());
    cx.output.send(reply);
    cx.request.transfer = Some(progress);
    Some(more)
}

fn write(writer: &mut Writer<'_>, record: &TransferRecord<'_>, class: Class) -> Result<(), Full> {
    let TransferRecord { owner, rtype, ttl, rdata } = *record;
    writer.record(Section::Answer, owner, rtype, class, ttl, rdata)
}
