//! A bucket of tokens that fills up with time.

use crate::Limit;

/// Tokens: as many as the limit's burst at most, and at the start; its amount comes in each period.
///
/// The level is kept in parts of a token, so that nothing is lost by rounding however often it is looked at. Time that
/// goes back brings nothing, and takes nothing.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// What comes per nanosecond, in parts; a token has as many of them as the period has nanoseconds.
    amount: i128,
    token: i128,
    /// The most parts that it holds.
    full: i128,
    level: i128,
    /// When the level was right.
    at: u64,
}

impl TokenBucket {
    /// Full.
    pub fn new(limit: Limit) -> TokenBucket {
        let token = i128::from(limit.period());
        // Two numbers of 64 bits: at most 2^128, so that it may saturate, to what no time fills.
        let full = token.saturating_mul(i128::from(limit.burst())).min(i128::MAX / 4);
        TokenBucket { amount: i128::from(limit.amount()), token, full, level: full, at: 0 }
    }

    /// Takes `count` tokens if they are there. More than the burst are taken from a full bucket, which then owes the
    /// rest: what is larger than a burst would otherwise never come.
    ///
    /// # Errors
    /// The nanoseconds until they are there, if nobody else takes any; at least 1.
    #[inline]
    pub fn take(&mut self, now: u64, count: u64) -> Result<(), u64> {
        self.fill(now);
        let cost = self.parts(count);
        self.pay(cost, cost.min(self.full))
    }

    /// Takes `count` tokens if there is one at all, and owes what is missing: for the last piece of something whose
    /// size is only known when it is there. What is taken is more than what `take` would by less than `count`.
    ///
    /// # Errors
    /// The nanoseconds until there is a token.
    #[inline]
    pub fn overdraw(&mut self, now: u64, count: u64) -> Result<(), u64> {
        self.fill(now);
        self.pay(self.parts(count), self.token)
    }

    /// The whole tokens that are there.
    pub fn available(&self, now: u64) -> u64 {
        u64::try_from((self.level_at(now) / self.token).max(0)).unwrap_or(u64::MAX)
    }

    /// The nanoseconds until so many more tokens have come that `count` of them could be taken one after the other.
    pub fn wait(&self, now: u64, count: u64) -> u64 {
        self.time_to(self.parts(count).saturating_sub(self.level_at(now)))
    }

    fn pay(&mut self, cost: i128, needed: i128) -> Result<(), u64> {
        if self.level < needed {
            return Err(self.time_to(needed.saturating_sub(self.level)));
        }
        self.level = self.level.saturating_sub(cost);
        Ok(())
    }

    fn fill(&mut self, now: u64) {
        self.level = self.level_at(now);
        self.at = self.at.max(now);
    }

    fn level_at(&self, now: u64) -> i128 {
        let elapsed = i128::from(now.saturating_sub(self.at));
        self.level.saturating_add(elapsed.saturating_mul(self.amount)).min(self.full)
    }

    fn parts(&self, count: u64) -> i128 {
        i128::from(count).saturating_mul(self.token)
    }

    /// In which `missing` parts come, rounded up.
    fn time_to(&self, missing: i128) -> u64 {
        if missing <= 0 {
            return 0;
        }
        let (whole, rest) = (missing / self.amount, missing % self.amount);
        u64::try_from(whole.saturating_add(i128::from(rest > 0))).unwrap_or(u64::MAX)
    }
}
