//! What is kept of a response beside its fields and its content.

use crate::directives::RequestDirectives;
use crate::freshness::{Freshness, Reuse};
use crate::omitted::Omitted;
use crate::partial::Partial;
use crate::validators::Validators;

/// What a cache must know about a response that it stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Until when it may be used.
    pub freshness: Freshness,
    /// The status code.
    pub status: u16,
    /// When it was made, in seconds since 1970: its Date, or when it was received.
    pub date: u64,
    /// It has no valid Date: add one with `date` to what is stored (RFC 9110 §6.6.1).
    pub lacks_date: bool,
    /// What it is validated with.
    pub validators: Validators,
    /// The names, in lower case and sorted, of the request's fields that it depends on.
    pub vary: Box<[Box<[u8]>]>,
    /// Which fields are not stored.
    pub omitted: Omitted,
    /// The groups it is purged with.
    pub surrogate_keys: Box<[Box<[u8]>]>,
    /// The part that it holds, if it is a 206.
    pub partial: Option<Partial>,
    /// Its content is not to be transformed (RFC 9111 §5.2.2.6).
    pub no_transform: bool,
}

impl Stored {
    /// See [`Freshness::age`].
    #[inline]
    pub fn age(&self, now: u64) -> u64 {
        self.freshness.age(now)
    }

    /// See [`Freshness::ttl`].
    #[inline]
    pub fn ttl(&self, now: u64) -> i64 {
        self.freshness.ttl(now)
    }

    /// See [`Freshness::reuse`].
    pub fn reuse(&self, directives: &RequestDirectives, now: u64) -> Reuse {
        self.freshness.reuse(directives, now)
    }

    /// See [`Freshness::on_error`].
    pub fn on_error(&self, directives: &RequestDirectives, now: u64) -> bool {
        self.freshness.on_error(directives, now)
    }
}
