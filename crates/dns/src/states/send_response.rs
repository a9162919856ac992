//! *Send response*: hands the response to the transport, unless the rate of such responses is used up.

use afpa_engine::{Context, Outcome};

use crate::message::{HEADER_LEN, Header, Rcode, flag};
use crate::module::{Carrier, Dns, Global};
use crate::protect::{Response, Verdict};
use crate::query_log::Outcome as LogOutcome;
use crate::stats::Restraint;
use crate::table::SENT;

/// Over UDP, whoever seems to ask may be somebody's victim: responses are accounted by where they go and what they say.
pub(crate) fn send_response(cx: &mut Context<'_, Dns>) -> Outcome {
    match verdict(cx) {
        Verdict::Send => {}
        Verdict::Truncate => {
            cx.global.stats.restrained(Restraint::ResponseTruncated);
            truncate(cx);
        }
        Verdict::Drop => {
            cx.global.stats.restrained(Restraint::ResponseDropped);
            cx.request.outcome = Some(LogOutcome::Limited);
            return SENT;
        }
    }
    let reply = &cx.global.reply;
    cx.request.sent = reply.len();
    if cx.connection.carrier == Carrier::Stream {
        cx.output.send(&(reply.len() as u16).to_be_bytes());
    }
    cx.output.send(reply);
    SENT
}

fn verdict(cx: &mut Context<'_, Dns>) -> Verdict {
    let now = cx.now();
    let input = cx.input.unread();
    let Global { response_rate: Some(rate), reply, settings, .. } = &mut *cx.global else { return Verdict::Send };
    let Some(client) = cx.connection.client.filter(|_| cx.connection.carrier == Carrier::Datagram) else {
        return Verdict::Send;
    };
    let Some(header) = Header::read(reply) else { return Verdict::Send };
    let query = cx.request.query(input);
    let question = query.as_ref().and_then(|query| query.question);
    let response = match (cx.request.rcode, question) {
        (Rcode::NOERROR, Some(question)) if header.counts[1] > 0 => Response::Answer(question.name, question.qtype),
        (Rcode::NOERROR, Some(question)) => Response::NoData(question.name, question.qtype),
        (Rcode::NXDOMAIN, Some(question)) => {
            let zone = settings.zones.find(question.name).map(|zone| zone.apex());
            Response::NoName(zone.or(question.name.parent()).unwrap_or(question.name))
        }
        _ => Response::Error,
    };
    rate.verdict(client.ip(), cx.request.proven, &response, now)
}

/// Leaves header and question, and says that there is more over TCP.
fn truncate(cx: &mut Context<'_, Dns>) {
    let input = cx.input.unread();
    let question_end = cx.request.query(input).map_or(HEADER_LEN, |query| query.question_end);
    let reply = &mut cx.global.reply;
    let Some(mut header) = Header::read(reply) else { return };
    reply.truncate(question_end);
    header.flags |= flag::TC;
    header.counts = [u16::from(question_end > HEADER_LEN), 0, 0, 0];
    reply[..HEADER_LEN].copy_from_slice(&header.to_octets());
}
