//! *Choose responder*: who answers.

use afpa_engine::{Context, Outcome};

use crate::message::{Class, ExtendedError, FormError, Query, Rcode, Type};
use crate::module::{Carrier, Dns};
use crate::query_log::Outcome as LogOutcome;
use crate::route::{FixedAnswer, Route};
use crate::stats::Restraint;
use crate::table::{FORWARD, REFUSED, SILENT, TRANSFER, ZONE};

/// Zones come first; what none of them holds is for backends, as the routes say.
pub(crate) fn choose_responder(cx: &mut Context<'_, Dns>) -> Outcome {
    let input = cx.input.unread();
    let query = Query::read(input.get(cx.request.start..cx.request.end).unwrap_or_default()).ok();
    let client = cx.connection.client.map(|client| client.ip());
    let (Some((query, question)), Some(client)) = (query.and_then(|query| Some((query, query.question?))), client)
    else {
        return SILENT;
    };
    if question.qclass != Class::IN || is_meta(question.qtype) {
        return refuse(cx, Rcode::NOTIMP, ExtendedError::NOT_SUPPORTED, Restraint::NotServed);
    }
    let settings = &cx.global.settings;
    if let Some(zone) = settings.zones.answering(&question) {
        let is_transfer = matches!(question.qtype, Type::AXFR | Type::IXFR);
        if is_transfer {
            let may = cx.connection.carrier == Carrier::Stream
                && zone.apex() == question.name
                && settings.transfers.get(&zone.apex().to_owned()).is_some_and(|networks| networks.contains(client));
            if !may {
                return refuse(cx, Rcode::REFUSED, ExtendedError::PROHIBITED, Restraint::Access);
            }
            return TRANSFER;
        }
        if !settings.zone_access.allows(client) {
            return refuse(cx, Rcode::REFUSED, ExtendedError::PROHIBITED, Restraint::Access);
        }
        return ZONE;
    }
    if matches!(question.qtype, Type::AXFR | Type::IXFR) || !settings.forwards {
        return refuse(cx, Rcode::REFUSED, ExtendedError::NOT_AUTHORITATIVE, Restraint::NotServed);
    }
    if !settings.forward_access.allows(client) {
        return refuse(cx, Rcode::REFUSED, ExtendedError::PROHIBITED, Restraint::Access);
    }
    let shared = cx.global.shared.borrow();
    let route = shared.route(&question, client);
    let has_bad_subnet = matches!(route, Route::Pool(pool) if shared.has_bad_subnet(pool, &query));
    drop(shared);
    match route {
        Route::Pool(_) if has_bad_subnet => {
            // RFC 7871 §7.1.2.
            cx.global.stats.malformed(FormError::OptionLength);
            cx.request.outcome = Some(LogOutcome::Malformed);
            cx.request.refuse(Rcode::FORMERR, None);
            REFUSED
        }
        Route::Pool(pool) => {
            cx.request.pool = Some(pool);
            FORWARD
        }
        Route::Fixed(FixedAnswer::Drop) => {
            cx.global.stats.restrained(Restraint::Forbidden);
            cx.request.outcome = Some(LogOutcome::Dropped);
            SILENT
        }
        Route::Fixed(fixed) => {
            let rcode = match fixed {
                FixedAnswer::NxDomain => Rcode::NXDOMAIN,
                FixedAnswer::ServFail => Rcode::SERVFAIL,
                FixedAnswer::Refused | FixedAnswer::Drop => Rcode::REFUSED,
            };
            refuse(cx, rcode, ExtendedError::BLOCKED, Restraint::Forbidden)
        }
    }
}

/// Types that are no data: of messages and transfers (RFC 6895 §3.1).
fn is_meta(qtype: Type) -> bool {
    qtype == Type::OPT || qtype.0 == 0 || matches!(qtype.0, 249 | 250 | 253 | 254)
}

fn refuse(cx: &mut Context<'_, Dns>, rcode: Rcode, error: ExtendedError, restraint: Restraint) -> Outcome {
    cx.global.stats.restrained(restraint);
    cx.request.outcome = Some(LogOutcome::Refused);
    cx.request.refuse(rcode, Some(error));
    REFUSED
}
