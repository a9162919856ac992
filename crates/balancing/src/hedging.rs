//! When a slow request is sent a second time, elsewhere (Dean and Barroso, *The Tail at Scale*, 2013).

use crate::budget::{Budget, BudgetConfig};
use crate::quantiles::Quantiles;
use crate::retries::is_safe;

/// When a request is sent a second time, while the first attempt goes on. Whichever answers first is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HedgeConfig {
    /// After how long.
    pub delay: HedgeDelay,
    /// What hedges cost together; 5 percent of requests by default, and one each second.
    pub budget: BudgetConfig,
}

/// How long a first attempt has for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HedgeDelay {
    /// So many nanoseconds.
    Fixed(u64),
    /// As long as so many percent of the latest attempts took at most, but between the two bounds in nanoseconds.
    /// Nothing is hedged before [`ENOUGH`] attempts have ended.
    Percentile {
        /// 1 to 99.
        percent: u32,
        /// At least so long.
        least_ns: u64,
        /// At most so long.
        most_ns: u64,
    },
}

impl Default for HedgeConfig {
    fn default() -> HedgeConfig {
        let delay = HedgeDelay::Percentile { percent: 95, least_ns: 1_000_000, most_ns: 10_000_000_000 };
        HedgeConfig { delay, budget: BudgetConfig { percent: 5, per_second: 1, burst: 20 } }
    }
}

/// Attempts that must have ended before a percentile of them says something.
pub const ENOUGH: u32 = 100;
/// After how many attempts a percentile is computed anew.
const RENEWAL: u32 = 32;

/// A request that may be hedged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hedgeable<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// Whether it has a body.
    pub has_body: bool,
    /// Whether the client has seen something of the response.
    pub responded: bool,
    /// Whether it was hedged already.
    pub hedged: bool,
}

/// Hedges of an engine to a pool.
#[derive(Clone, Debug)]
pub struct Hedging {
    config: HedgeConfig,
    budget: Budget,
    latencies: Quantiles,
    /// The percentile, as it was computed last.
    percentile: Option<u64>,
    /// Attempts since then.
    since: u32,
}

impl Hedging {
    /// Hedges as configured, their budget beginning at `now`.
    pub fn new(config: HedgeConfig, now: u64) -> Hedging {
        let budget = Budget::new(config.budget, now);
        Hedging { config, budget, latencies: Quantiles::new(), percentile: None, since: 0 }
    }

    /// A client's request begins. Returns when it is time to ask [`Hedging::may_hedge`]; `None`: never.
    pub fn request(&mut self, now: u64) -> Option<u64> {
        self.budget.request(now);
        Some(now.saturating_add(self.delay()?))
    }

    /// An attempt was answered after so many nanoseconds.
    pub fn answered(&mut self, latency_ns: u64) {
        let HedgeDelay::Percentile { percent, .. } = self.config.delay else { return };
        self.latencies.record(latency_ns);
        self.since += 1;
        if self.latencies.len() >= ENOUGH && (self.percentile.is_none() || self.since >= RENEWAL) {
            self.percentile = self.latencies.quantile(percent);
            self.since = 0;
        }
    }

    /// Whether a request is now sent a second time. Takes it out of the budget.
    pub fn may_hedge(&mut self, request: &Hedgeable<'_>, now: u64) -> bool {
        // What acts twice does harm even if it may be repeated, so only what reads is hedged.
        let may = is_safe(request.method) && !request.has_body && !request.responded && !request.hedged;
        may && self.budget.spend(now)
    }

    fn delay(&self) -> Option<u64> {
        match self.config.delay {
            HedgeDelay::Fixed(nanos) => Some(nanos),
            HedgeDelay::Percentile { least_ns, most_ns, .. } => {
                self.percentile.map(|percentile| percentile.max(least_ns).min(most_ns))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Hedgeable<'_> = Hedgeable { method: b"GET", has_body: false, responded: false, hedged: false };

    #[test]
    fn the_delay_follows_the_latest_attempts() {
        let delay = HedgeDelay::Percentile { percent: 90, least_ns: 50_000, most_ns: 500_000 };
        let mut hedging = Hedging::new(HedgeConfig { delay, ..HedgeConfig::default() }, 0);
        (0..99).for_each(|_| hedging.answered(100_000));
        assert_eq!(hedging.request(7), None, "too few to know");
        hedging.answered(100_000);
        let at = hedging.request(7).unwrap();
        assert!((100_007..=112_507).contains(&at), "{at}");
        (0..10_000).for_each(|_| hedging.answered(9_000_000));
        assert_eq!(hedging.request(7), Some(500_007), "the most");
        (0..20_000).for_each(|_| hedging.answered(2_000));
        assert_eq!(hedging.request(7), Some(50_007), "the least");
        let fixed = HedgeConfig { delay: HedgeDelay::Fixed(30), ..HedgeConfig::default() };
        assert_eq!(Hedging::new(fixed, 0).request(7), Some(37));
    }

    #[test]
    fn only_what_reads_is_hedged_and_once() {
        let mut hedging = Hedging::new(
            HedgeConfig { budget: BudgetConfig { percent: 0, per_second: 2, burst: 9 }, ..HedgeConfig::default() },
            0,
        );
        let cases = [
            (Hedgeable { method: b"PUT", ..GET }, false),
            (Hedgeable { has_body: true, ..GET }, false),
            (Hedgeable { responded: true, ..GET }, false),
            (Hedgeable { hedged: true, ..GET }, false),
            (GET, true),
            (Hedgeable { method: b"HEAD", ..GET }, true),
            (GET, false),
        ];
        for (request, expected) in cases {
            assert_eq!(hedging.may_hedge(&request, 0), expected, "{request:?}");
        }
    }
}
