//! Whether a response may be stored, and for how long it is fresh (RFC 9111 §3, §4.2).

use crate::age;
use crate::date;
use crate::directives::{RequestDirectives, ResponseDirectives};
use crate::fields::Fields;
use crate::freshness::Freshness;
use crate::list::is_token;
use crate::message::{Request, Response, Times};
use crate::not_stored::NotStored;
use crate::omitted::Omitted;
use crate::partial::Partial;
use crate::policy::{Cookies, Policy};
use crate::seconds::moment;
use crate::stored::Stored;
use crate::surrogate;
use crate::uri;
use crate::validators::Validators;

/// How many fields of a request a response may depend on.
pub const MOST_VARY: usize = 16;

/// Statuses whose responses can be stored although they give no lifetime (RFC 9110 §15.1).
const HEURISTICALLY_CACHEABLE: [u16; 12] = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];
/// Statuses that are never stored: 407 is between two hops, 412 and 416 answer conditions and ranges that are no part
/// of the key, the others must not be (RFC 6585 §3 to §6).
const NEVER_STORED: [u16; 7] = [407, 412, 416, 428, 429, 431, 511];
/// Statuses that are understood beside those of RFC 9110 (RFC 9111 §5.2.2.3): they ask nothing special of caches.
const UNDERSTOOD: [std::ops::RangeInclusive<u16>; 5] = [200..=206, 300..=308, 400..=417, 421..=426, 500..=505];

impl Policy {
    /// What is to be kept of this response; or why it is not to be stored. That its content is whole is for the caller
    /// to see to (RFC 9111 §3.3).
    pub fn store(&self, request: &Request<'_>, response: &Response<'_>, times: Times) -> Result<Stored, NotStored> {
        let directives = self.response_directives(response.fields);
        self.check_method(request, response, &directives)?;
        check_status(response.status, &directives)?;
        check_directives(request, response.fields, &directives)?;
        self.check_cookies(response.fields, &directives)?;
        let vary = vary(response.fields)?;
        let partial = if response.status == 206 { Some(partial(response.fields)?) } else { None };
        let omitted = Omitted::of(response.fields, &directives.field_names).ok_or(NotStored::FieldNames)?;
        let surrogate_keys = surrogate::keys(response.fields).ok_or(NotStored::SurrogateKeys)?;
        let lifetime = self.lifetime(response, &directives, times).ok_or(NotStored::NoLifetime)?;
        let freshness = self.freshness(&directives, lifetime, age::born(response.fields, times), times);
        let validators = Validators::of(response.fields);
        check_use(&freshness, lifetime, &validators)?;
        let date = age::date(response.fields);
        Ok(Stored {
            freshness,
            status: response.status,
            date: date.unwrap_or(times.received),
            lacks_date: date.is_none(),
            validators,
            vary,
            omitted,
            surrogate_keys,
            partial,
            no_transform: directives.no_transform,
        })
    }

    fn check_method(
        &self,
        request: &Request<'_>,
        response: &Response<'_>,
        directives: &ResponseDirectives<'_>,
    ) -> Result<(), NotStored> {
        match request.method {
            b"GET" => Ok(()),
            b"POST" if self.stores_post && answers_get(request, response, directives) => Ok(()),
            _ => Err(NotStored::Method),
        }
    }

    fn check_cookies(&self, fields: Fields<'_>, directives: &ResponseDirectives<'_>) -> Result<(), NotStored> {
        let omits = directives.field_names.iter().any(|name| name.eq_ignore_ascii_case(b"set-cookie"));
        let is_explicit = has_lifetime(fields, directives);
        let may_be_stored = match self.cookies {
            Cookies::Never => false,
            Cookies::Public => directives.public && is_explicit,
            Cookies::Explicit => is_explicit,
        };
        if may_be_stored || omits || !fields.has(b"set-cookie") { Ok(()) } else { Err(NotStored::SetCookie) }
    }

    /// For how many seconds since it was made the response is fresh (RFC 9111 §4.2.1); `None` if it may not be stored
    /// for want of a lifetime.
    fn lifetime(&self, response: &Response<'_>, directives: &ResponseDirectives<'_>, times: Times) -> Option<i64> {
        if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
            return Some(seconds.into());
        }
        let fields = response.fields;
        let made = moment(age::date(fields).unwrap_or(times.received));
        if !directives.is_targeted && fields.has(b"expires") {
            return Some((expires(fields) - made).max(0));
        }
        if let Some((_, seconds)) = self.lifetimes_by_status.iter().find(|(status, _)| *status == response.status) {
            return Some((*seconds).into());
        }
        let is_default = HEURISTICALLY_CACHEABLE.contains(&response.status);
        if !is_default && !directives.public {
            return None;
        }
        let modified = fields.first(b"last-modified").and_then(date::parse).map(moment).filter(|&at| at <= made);
        Some(modified.map_or(i64::from(if is_default { self.default_lifetime } else { 0 }), |modified| {
            // A difference of dates up to the year 9999, so that the product fits.
            let guessed = (made - modified).saturating_mul(self.heuristic_percent.into()) / 100;
            guessed.min(self.heuristic_most.into())
        }))
    }

    fn freshness(&self, directives: &ResponseDirectives<'_>, lifetime: i64, born: i64, times: Times) -> Freshness {
        let longest = moment(times.received) + i64::from(self.longest_lifetime);
        let fresh_until = (born + lifetime).min(longest);
        let forbids_stale = directives.must_revalidate || directives.proxy_revalidate || directives.no_cache;
        // `s-maxage` forbids to serve stale responses (RFC 9111 §5.2.2.10), but where the same field allows it for some
        // time, that is meant. The operator's own windows do not apply.
        let window = |own: Option<u32>, default: u32| match own {
            _ if forbids_stale => i64::MIN,
            Some(seconds) => fresh_until + i64::from(seconds),
            None if directives.s_maxage.is_some() => i64::MIN,
            None => fresh_until + i64::from(default),
        };
        Freshness {
            plainly_fresh_until: if directives.no_cache { i64::MIN } else { fresh_until },
            born,
            fresh_until,
            stale_while_revalidate_until: window(directives.stale_while_revalidate, self.stale_while_revalidate),
            stale_on_error_until: window(directives.stale_if_error, self.stale_if_error),
            always_validate: directives.no_cache,
            must_revalidate: forbids_stale || directives.s_maxage.is_some(),
            immutable: directives.immutable,
        }
    }
}

/// RFC 9110 §9.3.3: a response to POST answers GET if it says that it is what GET would get, and for how long.
fn answers_get(request: &Request<'_>, response: &Response<'_>, directives: &ResponseDirectives<'_>) -> bool {
    let location = response.fields.first(b"content-location").and_then(|location| uri::resolve(request.uri, location));
    let own = uri::resolve(request.uri, request.uri);
    response.status == 200 && has_lifetime(response.fields, directives) && own.is_some() && location == own
}

fn check_status(status: u16, directives: &ResponseDirectives<'_>) -> Result<(), NotStored> {
    match status {
        304 => Err(NotStored::NotModified),
        0..200 | 600.. => Err(NotStored::Status),
        _ if NEVER_STORED.contains(&status) => Err(NotStored::Status),
        _ if directives.must_understand && !is_understood(status) => Err(NotStored::NotUnderstood),
        _ => Ok(()),
    }
}

fn is_understood(status: u16) -> bool {
    UNDERSTOOD.iter().any(|range| range.contains(&status))
}

/// RFC 9111 §3, §3.5. The status is understood, if that matters.
fn check_directives(
    request: &Request<'_>,
    fields: Fields<'_>,
    directives: &ResponseDirectives<'_>,
) -> Result<(), NotStored> {
    if RequestDirectives::parse(request.fields).no_store {
        return Err(NotStored::RequestNoStore);
    }
    // RFC 9111 §5.2.2.3: where `must-understand` is understood, `no-store` is for others.
    if directives.no_store && !directives.must_understand {
        return Err(NotStored::NoStore);
    }
    if directives.private {
        return Err(NotStored::Private);
    }
    let allows_authorized = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if request.fields.has(b"authorization") && !allows_authorized {
        return Err(NotStored::Authorization);
    }
    if fields.members(b"vary").any(|name| name == b"*") {
        return Err(NotStored::VaryAny);
    }
    Ok(())
}

fn has_lifetime(fields: Fields<'_>, directives: &ResponseDirectives<'_>) -> bool {
    directives.has_lifetime() || !directives.is_targeted && fields.has(b"expires")
}

/// The earliest of the dates; one that is none, `0` above all, is in the past (RFC 9111 §5.3).
fn expires(fields: Fields<'_>) -> i64 {
    fields.lines(b"expires").map(|line| date::parse(line).map_or(i64::MIN / 2, moment)).min().unwrap_or(0)
}

fn vary(fields: Fields<'_>) -> Result<Box<[Box<[u8]>]>, NotStored> {
    let mut names: Vec<Box<[u8]>> = Vec::new();
    for name in fields.members(b"vary") {
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        if names.len() == MOST_VARY || !is_token(name) {
            return Err(NotStored::Vary);
        }
        names.push(name.to_ascii_lowercase().into());
    }
    names.sort_unstable();
    Ok(names.into())
}

fn partial(fields: Fields<'_>) -> Result<Partial, NotStored> {
    Partial::of(fields).ok_or(NotStored::Partial)
}

/// A response that was never fresh, cannot be validated and may not be served stale would only take room.
fn check_use(freshness: &Freshness, lifetime: i64, validators: &Validators) -> Result<(), NotStored> {
    let may_be_served = !freshness.always_validate
        && (lifetime > 0
            || freshness.stale_while_revalidate_until > freshness.fresh_until
            || freshness.stale_on_error_until > freshness.fresh_until);
    if may_be_served || !validators.is_empty() { Ok(()) } else { Err(NotStored::NotReusable) }
}
