//! What is remembered of an image.

use std::time::Duration;

use afpa_engine::Time;

use super::Policy;
use super::policy::seconds;
use crate::message::ExtendedError;

/// A failure is kept at least and at most so long, in seconds (RFC 9520 §3.2).
const FAILURE_BOUNDS: (u32, u32) = (1, 300);
/// How long a backend that failed is left alone for an answer that is there, expired or not (RFC 8767 §5).
const RECHECK: Duration = Duration::from_secs(30);

/// What an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// What was asked for, or an alias.
    Positive,
    /// Whom to ask instead (RFC 1034 §4.3.1).
    Referral,
    /// The name has nothing of the type (RFC 2308 §2.2).
    NoData,
    /// There is no such name (RFC 2308 §2.1).
    NxDomain,
    /// There is no answer (RFC 9520 §2).
    Failure,
}

/// Whether an image may be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// It may.
    Fresh,
    /// Its life has ended; it may be served if nothing better can be had in time (RFC 8767).
    Stale,
    /// It may not.
    Expired,
}

/// What is remembered of an image beside its octets. Owns nothing on the heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Details {
    pub(super) stored_at: Time,
    /// From then on, a hit makes the answer be asked for again.
    pub(super) refresh_at: Time,
    /// Seconds; 0 if the image is not kept, only shared by those who wait for it.
    pub(super) lifetime: u32,
    /// Seconds after `lifetime` during which it may be served stale.
    pub(super) stale: u32,
    pub(super) stale_ttl: u32,
    /// Octets of the image: behind them are the places of its TTLs, then its cuts.
    pub(super) image_len: u16,
    pub(super) question_end: u16,
    /// Where the additional section starts.
    pub(super) additional_at: u16,
    /// How many TTLs there are.
    pub(super) ttls: u16,
    pub(super) kind: Kind,
    pub(super) extended_error: Option<ExtendedError>,
    pub(super) subnet_scope: Option<u8>,
}

impl Details {
    /// Of an image that is not kept.
    pub(super) fn bare(kind: Kind) -> Details {
        Details {
            stored_at: Time(0),
            refresh_at: Time::NEVER,
            lifetime: 0,
            stale: 0,
            stale_ttl: 0,
            image_len: 0,
            question_end: 0,
            additional_at: 0,
            ttls: 0,
            kind,
            extended_error: None,
            subnet_scope: None,
        }
    }

    /// What it says.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How long it lives, in seconds; 0 if it is not kept, only shared by those who wait for it.
    pub fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// When it came.
    pub fn stored_at(&self) -> Time {
        self.stored_at
    }

    /// Why it is what it is, if the backend said so (RFC 8914), or we.
    pub fn extended_error(&self) -> Option<ExtendedError> {
        self.extended_error
    }

    /// The bits of the subnet that the backend says the answer is for (RFC 7871 §7.2.1), if it says so: 0 for everybody.
    pub fn subnet_scope(&self) -> Option<u8> {
        self.subnet_scope
    }

    /// Whether it may be served at `now`. What is not kept always may.
    #[inline]
    pub fn freshness(&self, now: Time) -> Freshness {
        self.freshness_at(self.age(now))
    }

    /// Whether it may be served when it is `age` seconds old.
    #[inline]
    pub(super) fn freshness_at(&self, age: u64) -> Freshness {
        let lifetime = u64::from(self.lifetime);
        if age < lifetime || lifetime == 0 {
            Freshness::Fresh
        } else if age < lifetime + u64::from(self.stale) {
            Freshness::Stale
        } else {
            Freshness::Expired
        }
    }

    /// Whether a hit at `now` is to make the answer be asked for again: in the last part of its life, or behind it.
    #[inline]
    pub fn wants_refresh(&self, now: Time) -> bool {
        now >= self.refresh_at
    }

    /// Until when hits have nothing to do but to be answered: when it is to be asked for again, or its life ends.
    pub fn ends_at(&self) -> Time {
        self.refresh_at.min(self.stored_at.after(Duration::from_secs(self.lifetime.into())))
    }

    /// Seconds since it came.
    #[inline]
    pub(super) fn age(&self, now: Time) -> u64 {
        now.since(self.stored_at).as_secs()
    }

    /// Sets the life of what came at `now`.
    pub(super) fn set_life(&mut self, lifetime: u32, policy: &Policy, now: Time) {
        self.stored_at = now;
        self.lifetime = lifetime;
        let whole = Duration::from_secs(lifetime.into());
        if self.kind == Kind::Failure {
            self.lifetime = lifetime.clamp(FAILURE_BOUNDS.0, FAILURE_BOUNDS.1);
        } else if lifetime > 0 {
            self.stale = seconds(policy.stale);
            self.stale_ttl = seconds(policy.stale_ttl);
            let percent = 100_u32.saturating_sub(policy.prefetch_percent.into());
            self.refresh_at = now.after(whole * percent / 100);
        }
    }

    /// What is remembered of this image, which is still there, when its refresh has failed at `now`.
    pub(super) fn left_alone(&self, now: Time) -> Details {
        Details { refresh_at: now.after(RECHECK), ..*self }
    }

    /// What is remembered of this failure when it follows `older`, which was one too: it is kept twice as long as that
    /// if it came soon (RFC 9520 §3.2).
    pub(super) fn after_failure(&self, older: &Details) -> Details {
        let is_soon = self.stored_at.since(older.stored_at).as_secs() <= 2 * u64::from(older.lifetime);
        let lifetime = (2 * older.lifetime).clamp(self.lifetime, FAILURE_BOUNDS.1);
        Details { lifetime: if is_soon { lifetime } else { self.lifetime }, ..*self }
    }
}
