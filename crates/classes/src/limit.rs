//! How much of something there may be in how much time.

use std::num::NonZeroU64;

/// An amount per period, and how much may come at once. Requests or octets: the user of it says which.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limit {
    amount: NonZeroU64,
    /// Nanoseconds.
    period: NonZeroU64,
    burst: NonZeroU64,
}

impl Limit {
    /// `amount` in each second, and `burst` at once; a burst of 0 counts as 1. `None` if the amount is 0, for which no
    /// time is long enough.
    pub fn per_second(amount: u64, burst: u64) -> Option<Limit> {
        let period = const { NonZeroU64::new(1_000_000_000).unwrap() };
        let amount = NonZeroU64::new(amount)?;
        Some(Limit { amount, period, burst: NonZeroU64::new(burst).unwrap_or(NonZeroU64::MIN) })
    }

    /// The part of one of `engines` engines: all of them together allow what this one does, but for bursts, of which
    /// each has 1 at least.
    pub fn divided(self, engines: usize) -> Limit {
        let engines = NonZeroU64::new(engines as u64).unwrap_or(NonZeroU64::MIN);
        let burst = NonZeroU64::new(self.burst.get() / engines).unwrap_or(NonZeroU64::MIN);
        Limit { period: self.period.saturating_mul(engines), burst, ..self }
    }

    /// How much comes in one period.
    pub fn amount(&self) -> u64 {
        self.amount.get()
    }

    /// Nanoseconds.
    pub fn period(&self) -> u64 {
        self.period.get()
    }

    /// How much may come at once, 1 at least.
    pub fn burst(&self) -> u64 {
        self.burst.get()
    }

    /// Nanoseconds per unit, rounded up.
    pub(crate) fn interval(&self) -> u64 {
        self.period.get().div_ceil(self.amount.get())
    }
}
