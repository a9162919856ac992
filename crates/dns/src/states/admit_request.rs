//! *Admit request*: whether the client may ask, and how often.

use afpa_engine::{Context, Outcome};

use super::derive_request::protocol;
use crate::message::{ExtendedError, Rcode, option};
use crate::module::{Carrier, Dns, Global};
use crate::protect::CookieStatus;
use crate::query_log::Outcome as LogOutcome;
use crate::stats::Restraint;
use crate::table::{ADMITTED, REFUSED, SILENT};

/// Judges the cookie first: a client that has shown that its address is its own is not held to what protects others
/// (RFC 7873 §5.2.5). One that asks too much is not answered at all.
pub(crate) fn admit_request(cx: &mut Context<'_, Dns>) -> Outcome {
    let input = cx.input.unread();
    let Some(client) = cx.connection.client else { return SILENT };
    let (now, address) = (cx.now(), client.ip());
    let Some(query) = cx.request.query(input) else { return SILENT };
    let Global { settings, stats, wall, client_rate, .. } = &mut *cx.global;
    let mut cookie = CookieStatus::Absent;
    if let (Some(secrets), Some(edns)) = (&settings.cookies, query.edns)
        && !edns.options.is_empty()
    {
        cookie = secrets.status(edns.options.get(option::COOKIE), address, wall.seconds());
    }
    let is_proven = cookie.is_valid() || cx.connection.carrier == Carrier::Stream;
    let reply = settings.cookies.as_ref().and_then(|secrets| secrets.reply(&cookie, address, wall.seconds()));
    let (qtype, length) = (query.question.map(|question| question.qtype), cx.request.end - cx.request.start);
    let asks_nothing = query.question.is_none();
    stats.asked(protocol(cx.connection.carrier), qtype, &cookie, length);
    cx.request.proven = is_proven;
    cx.request.cookie = reply;
    if client_rate.as_mut().is_some_and(|rate| !rate.allows(address, now)) {
        stats.restrained(Restraint::ClientRate);
        cx.request.outcome = Some(LogOutcome::Limited);
        if !is_proven {
            return SILENT;
        }
        cx.request.refuse(Rcode::REFUSED, Some(ExtendedError::PROHIBITED));
        return REFUSED;
    }
    if asks_nothing {
        // RFC 7873 §5.4: a question about the cookie alone is answered by the cookie alone.
        cx.request.refuse(Rcode::NOERROR, None);
        return REFUSED;
    }
    ADMITTED
}
