//! Until when a stored response may be used, as absolute times: what a hit looks at.

use crate::directives::RequestDirectives;
use crate::seconds::moment;

/// The times of a stored response, in seconds since 1970, and what qualifies them. Some lie before 1970: a response
/// may claim to be older. It is small and has no pointer: keep it where the index entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// It is fresh before this moment and needs no validation; `i64::MIN` if it always does.
    pub(crate) plainly_fresh_until: i64,
    /// When it would have left the origin: now less its age.
    pub born: i64,
    /// It is fresh before this moment.
    pub fresh_until: i64,
    /// Before this moment it may be served while it is validated (RFC 5861 §3).
    pub stale_while_revalidate_until: i64,
    /// Before this moment it may be served if the origin fails (RFC 5861 §4).
    pub stale_on_error_until: i64,
    /// It is not used without validation: `no-cache`.
    pub always_validate: bool,
    /// Stale, it is not used without validation, whatever a client accepts: `must-revalidate`,
    /// `proxy-revalidate`, `s-maxage`.
    pub must_revalidate: bool,
    /// It does not change while it is fresh (RFC 8246).
    pub immutable: bool,
}

/// What a stored response is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It answers.
    Fresh,
    /// It answers although it is stale; validate it meanwhile.
    StaleWhileRevalidate,
    /// It answers although it is stale: the client accepts that (`max-stale`).
    Stale,
    /// Ask the origin, with the stored response's validators.
    Validate(Why),
    /// Answer 504: the client wants no other than a stored response, and this one may not be used (RFC 9111 §5.2.1.7).
    Unavailable,
}

/// Why the origin must be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The response is stale.
    Stale,
    /// The response wants to be validated always.
    NoCache,
    /// The client wants it.
    Request,
}

impl Freshness {
    /// Whether the response answers a request without directives, and nothing else need be looked at.
    #[inline]
    pub fn is_plainly_fresh(&self, now: u64) -> bool {
        moment(now) < self.plainly_fresh_until
    }

    /// The age in seconds; 0 if the clock went backwards.
    #[inline]
    pub fn age(&self, now: u64) -> u64 {
        moment(now).saturating_sub(self.born).max(0).unsigned_abs()
    }

    /// For how many seconds it is still fresh; negative: for how many it has been stale.
    #[inline]
    pub fn ttl(&self, now: u64) -> i64 {
        self.fresh_until.saturating_sub(moment(now))
    }

    /// Whether and how it answers a request with these directives.
    pub fn reuse(&self, directives: &RequestDirectives, now: u64) -> Reuse {
        if directives.is_empty() && self.is_plainly_fresh(now) {
            return Reuse::Fresh;
        }
        let (ttl, moment) = (self.ttl(now), moment(now));
        let must_ask = if self.is_refused_by(directives, now) {
            Why::Request
        } else if self.always_validate {
            Why::NoCache
        } else if ttl > 0 {
            return Reuse::Fresh;
        } else if moment < self.stale_while_revalidate_until {
            return Reuse::StaleWhileRevalidate;
        } else if !self.must_revalidate && is_within(ttl, directives.max_stale) {
            return Reuse::Stale;
        } else {
            Why::Stale
        };
        if directives.only_if_cached { Reuse::Unavailable } else { Reuse::Validate(must_ask) }
    }

    /// Whether it may answer after all when the origin cannot be reached or answers 500, 502, 503 or 504 (RFC 9111
    /// §4.2.4, RFC 5861 §4).
    pub fn on_error(&self, directives: &RequestDirectives, now: u64) -> bool {
        if self.always_validate || directives.no_cache || directives.no_store {
            return false;
        }
        let ttl = self.ttl(now);
        if directives.min_fresh.is_some_and(|wanted| ttl < i64::from(wanted)) {
            return false;
        }
        let client_accepts = is_within(ttl, directives.stale_if_error) || is_within(ttl, directives.max_stale);
        ttl > 0 || moment(now) < self.stale_on_error_until || !self.must_revalidate && client_accepts
    }

    /// It is out of date from now on, but may still be validated: what invalidation makes of it (RFC 9111 §4.4).
    pub fn invalidate(&mut self) {
        self.plainly_fresh_until = i64::MIN;
        self.always_validate = true;
    }

    fn is_refused_by(&self, directives: &RequestDirectives, now: u64) -> bool {
        let ttl = self.ttl(now);
        // RFC 8246 §2: a client that reloads need not be believed; one that says `no-cache` must.
        let is_reload_needless = self.immutable && ttl > 0;
        // An age of 0 is one of less than a second, so `max-age=0` never holds.
        let is_too_old = |most: u32| most == 0 || self.age(now) > u64::from(most);
        directives.no_cache
            || directives.no_store
            || !is_reload_needless && directives.max_age.is_some_and(is_too_old)
            || directives.min_fresh.is_some_and(|wanted| ttl < i64::from(wanted))
    }
}

/// Whether it has not been stale for longer than that.
fn is_within(ttl: i64, most: Option<u32>) -> bool {
    most.is_some_and(|most| most == u32::MAX || ttl.saturating_add(i64::from(most)) >= 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Born at 1000, fresh until 1100.
    fn plain() -> Freshness {
        Freshness {
            plainly_fresh_until: 1100,
            born: 1000,
            fresh_until: 1100,
            stale_while_revalidate_until: i64::MIN,
            stale_on_error_until: i64::MIN,
            always_validate: false,
            must_revalidate: false,
            immutable: false,
        }
    }

    fn asked(change: impl FnOnce(&mut RequestDirectives)) -> RequestDirectives {
        let mut directives = RequestDirectives::default();
        change(&mut directives);
        directives
    }

    #[test]
    fn a_response_without_anything_special() {
        let freshness = plain();
        let none = RequestDirectives::default();
        for (now, age, ttl, reuse) in [
            (0, 0, 1100, Reuse::Fresh),
            (1000, 0, 100, Reuse::Fresh),
            (1099, 99, 1, Reuse::Fresh),
            (1100, 100, 0, Reuse::Validate(Why::Stale)),
            (1200, 200, -100, Reuse::Validate(Why::Stale)),
        ] {
            assert_eq!((freshness.age(now), freshness.ttl(now)), (age, ttl), "{now}");
            assert_eq!(freshness.reuse(&none, now), reuse, "{now}");
            assert_eq!(freshness.is_plainly_fresh(now), reuse == Reuse::Fresh, "{now}");
            assert_eq!(freshness.on_error(&none, now), reuse == Reuse::Fresh, "{now}");
        }
    }

    #[test]
    fn clients_get_what_they_ask_for() {
        let freshness = plain();
        let request = Reuse::Validate(Why::Request);
        for (directives, now, reuse) in [
            (asked(|d| d.no_cache = true), 1000, request),
            (asked(|d| d.no_store = true), 1000, request),
            (asked(|d| d.max_age = Some(0)), 1000, request),
            (asked(|d| d.max_age = Some(10)), 1010, Reuse::Fresh),
            (asked(|d| d.max_age = Some(10)), 1011, request),
            (asked(|d| d.min_fresh = Some(50)), 1050, Reuse::Fresh),
            (asked(|d| d.min_fresh = Some(50)), 1051, request),
            (asked(|d| d.max_stale = Some(10)), 1110, Reuse::Stale),
            (asked(|d| d.max_stale = Some(10)), 1111, Reuse::Validate(Why::Stale)),
            (asked(|d| d.max_stale = Some(u32::MAX)), u64::MAX, Reuse::Stale),
            (asked(|d| d.only_if_cached = true), 1000, Reuse::Fresh),
            (asked(|d| d.only_if_cached = true), 1100, Reuse::Unavailable),
        ] {
            assert_eq!(freshness.reuse(&directives, now), reuse, "{directives:?} at {now}");
        }
    }

    #[test]
    fn must_revalidate_binds_clients_too() {
        let freshness = Freshness { must_revalidate: true, ..plain() };
        let directives = asked(|d| (d.max_stale, d.stale_if_error) = (Some(100), Some(100)));
        assert_eq!(freshness.reuse(&directives, 1099), Reuse::Fresh);
        assert_eq!(freshness.reuse(&directives, 1101), Reuse::Validate(Why::Stale));
        assert!(!freshness.on_error(&directives, 1101));
    }

    #[test]
    fn stale_ones_answer_within_their_windows() {
        let freshness = Freshness { stale_while_revalidate_until: 1110, stale_on_error_until: 1120, ..plain() };
        let none = RequestDirectives::default();
        assert_eq!(freshness.reuse(&none, 1109), Reuse::StaleWhileRevalidate);
        assert_eq!(freshness.reuse(&none, 1110), Reuse::Validate(Why::Stale));
        assert!(freshness.on_error(&none, 1119) && !freshness.on_error(&none, 1120));
        assert!(freshness.on_error(&asked(|d| d.stale_if_error = Some(50)), 1150));
        assert!(!freshness.on_error(&asked(|d| d.no_cache = true), 1000));
    }

    #[test]
    fn an_immutable_one_is_not_validated_for_a_reload() {
        let freshness = Freshness { immutable: true, ..plain() };
        assert_eq!(freshness.reuse(&asked(|d| d.max_age = Some(0)), 1050), Reuse::Fresh);
        assert_eq!(freshness.reuse(&asked(|d| d.no_cache = true), 1050), Reuse::Validate(Why::Request));
        assert_eq!(freshness.reuse(&asked(|d| d.max_age = Some(0)), 1100), Reuse::Validate(Why::Request));
    }

    #[test]
    fn an_invalidated_one_is_validated() {
        let mut freshness = Freshness { stale_while_revalidate_until: 2000, stale_on_error_until: 2000, ..plain() };
        freshness.invalidate();
        assert!(!freshness.is_plainly_fresh(1000));
        assert_eq!(freshness.reuse(&RequestDirectives::default(), 1000), Reuse::Validate(Why::NoCache));
        assert!(!freshness.on_error(&RequestDirectives::default(), 1000));
    }

    proptest! {
        #[test]
        fn no_time_makes_it_panic(born: i64, fresh: i64, now: u64, numbers: [Option<u32>; 4]) {
            let freshness = Freshness { born, fresh_until: fresh, plainly_fresh_until: fresh, ..plain() };
            let [max_age, min_fresh, max_stale, stale_if_error] = numbers;
            let directives = RequestDirectives { max_age, min_fresh, max_stale, stale_if_error, ..Default::default() };
            let reuse = freshness.reuse(&directives, now);
            prop_assert!(reuse != Reuse::Fresh || freshness.ttl(now) > 0);
            freshness.on_error(&directives, now);
            freshness.age(now);
        }
    }
}
