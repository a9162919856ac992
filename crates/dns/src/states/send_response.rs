//! *Send response*: hands the response to the transport, unless the rate of such responses is used up.

use afpa_engine::{Context, Outcome};

use super::write_bare;
use crate::message::{Header, Name, NameBuffer, Rcode, Records, Section, Type, Writer, flag};
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
            cx.request.outcome = Some(LogOutcome::Truncated);
            truncate(cx);
        }
        Verdict::Drop => {
            cx.global.stats.restrained(Restraint::ResponseDropped);
            cx.request.outcome = Some(LogOutcome::Dropped);
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
    let mut owner = NameBuffer::default();
    // All names that a wildcard makes have one account, or each would have its own.
    let parent = cx.request.wildcard_parent.map(usize::from);
    let response = match (cx.request.rcode, question) {
        (Rcode::NOERROR, Some(question)) if header.counts[1] > 0 => {
            Response::Answer(account(question.name, parent), question.qtype)
        }
        (Rcode::NOERROR, Some(question)) if refers(reply, &mut owner) => match question.name.is_within(owner.as_name())
        {
            true => Response::Referral(owner.as_name()),
            false => Response::NoData(question.name, question.qtype),
        },
        (Rcode::NOERROR, Some(question)) => Response::NoData(account(question.name, parent), question.qtype),
        (Rcode::NXDOMAIN, Some(question)) => {
            let zone = settings.zones.find(question.name).map(|zone| zone.apex());
            Response::NoName(zone.or(question.name.parent()).unwrap_or(question.name))
        }
        _ => Response::Error,
    };
    rate.verdict(client.ip(), cx.request.proven, &response, now)
}

fn account<'a>(name: Name<'a>, wildcard_parent: Option<usize>) -> Name<'a> {
    wildcard_parent.and_then(|octets| name.suffix(octets)).unwrap_or(name)
}

/// Whether `reply`, which has no answer, names other servers; `owner` is then the delegation's name.
fn refers(reply: &[u8], owner: &mut NameBuffer) -> bool {
    let first = Records::of(reply).ok().and_then(|mut records| records.next()?.ok());
    let first = first.filter(|record| (record.section, record.rtype) == (Section::Authority, Type::NS));
    first.is_some_and(|record| owner.read(reply, record.owner_at).is_ok())
}

/// Leaves header, question and OPT, and says that there is more over TCP (RFC 6891 §7).
fn truncate(cx: &mut Context<'_, Dns>) {
    let input = cx.input.unread();
    let Some(query) = cx.request.query(input) else { return };
    let Global { settings, reply, options, .. } = &mut *cx.global;
    let Some(header) = Header::read(reply) else { return };
    let header = Header { flags: header.flags | flag::TC, ..header };
    let opt = query.edns.is_some().then_some(options.as_slice());
    let writer = Writer::new(reply, header, 512);
    write_bare(writer, query.question, opt, settings.udp_size, cx.request.rcode, query.dnssec_ok());
}
