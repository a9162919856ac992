//! Refusing requests when an engine has more to do than it can, the least important first.

use crate::{ClassIndex, Classes, Reason, Refusal};

/// What it takes to shed a whole group of classes.
const WHOLE: u32 = 1 << 16;
/// What is shed more after an interval above the target at least, and at most.
const RISE: u32 = WHOLE / 64;
const MOST_RISE: u32 = WHOLE / 4;
/// What is shed less after an interval below half the target.
const FALL: u32 = WHOLE / 64;
/// A delay that falls fast enough to be at the target after so many intervals is left to fall.
const PATIENCE: u64 = 8;

/// When an engine is overloaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverloadConfig {
    /// Nanoseconds for which a request may have to wait before the engine looks at it.
    pub target: u64,
    /// Nanoseconds over which is measured: some round trips, so that what was shed last time shows.
    pub interval: u64,
}

impl Default for OverloadConfig {
    /// 5 ms, measured over 100 ms (RFC 8289 §4.3, §4.4).
    fn default() -> OverloadConfig {
        OverloadConfig { target: 5_000_000, interval: 100_000_000 }
    }
}

/// Sheds as much as keeps the delay near its target.
///
/// What counts is the least delay of an interval: a burst makes some requests wait, an overload all of them (RFC 8289
/// §3.1). While it is above the target and does not fall quickly, more is shed: a 64th of a group of classes, and half of
/// the part of the interval by which the delay has grown, up to a quarter in all. While it is below half of the target,
/// a 64th less is shed. In between nothing changes. With twice as many requests as the engine can answer, arriving by
/// chance, what is shed goes up and down by less than a quarter of a group.
///
/// Classes of the same priority are a group. A group is shed only when all less important ones are refused entirely.
#[derive(Clone, Debug)]
pub struct Overload {
    config: Option<OverloadConfig>,
    /// Per class the level from which it is shed; `None` if it never is.
    from: Vec<Option<u32>>,
    /// From 0 to [`WHOLE`] for each group.
    level: u32,
    most: u32,
    /// The least delay of the interval that lasts until `ends`, if any was seen.
    least: Option<u64>,
    before: u64,
    ends: u64,
}

impl Overload {
    /// Without a configuration nothing is ever shed.
    pub fn new(classes: &Classes, config: Option<OverloadConfig>) -> Overload {
        let mut priorities: Vec<_> =
            classes.configs().iter().filter(|class| class.sheddable).map(|class| class.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let rank = |priority| priorities.iter().rev().position(|&other| other == priority);
        let from = classes.configs().iter().map(|class| {
            let rank = rank(class.priority).filter(|_| class.sheddable)?;
            Some(rank as u32 * WHOLE)
        });
        Overload {
            config,
            from: from.collect(),
            level: 0,
            most: priorities.len() as u32 * WHOLE,
            least: None,
            before: 0,
            ends: 0,
        }
    }

    /// Replaces classes and configuration; what is shed stays as it is, as far as there are classes for it.
    pub fn reload(&mut self, classes: &Classes, config: Option<OverloadConfig>) {
        let new = Overload::new(classes, config);
        let level = if config.is_some() { self.level.min(new.most) } else { 0 };
        *self = Overload { level, before: self.before, ends: self.ends, ..new };
    }

    /// A request has waited for `delay` nanoseconds before the engine looked at it; or a pass has taken so long. To be
    /// told of refused ones too, or nothing would tell that the overload is over.
    #[inline]
    pub fn observe(&mut self, delay: u64, now: u64) {
        let Some(config) = self.config else { return };
        if now >= self.ends {
            self.end_interval(config, now);
        }
        self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
    }

    /// Whether a request of `class` is answered. `random` decides where a part of the class is shed: uniform, and
    /// anew for each request.
    #[inline]
    pub fn admits(&self, class: ClassIndex, random: u32) -> bool {
        self.level == 0 || random >> 16 >= self.shed(class)
    }

    /// The answer for one that is not: to come back when its class is admitted again if all goes well, or up to twice
    /// as late, for `random` is also what keeps all of them from coming at once.
    pub fn refusal(&self, class: ClassIndex, random: u32) -> Refusal {
        let interval = self.config.map_or(0, |config| config.interval);
        let intervals = u64::from(self.shed_before(class).unwrap_or(0) / FALL);
        let wait = intervals.saturating_mul(interval).max(1_000_000_000);
        let later = ((u128::from(wait) * u128::from(random)) >> 32) as u64;
        Refusal::new(Reason::Overload, wait.saturating_add(later))
    }

    /// The share of `class` that is refused, from 0 to 1.
    pub fn share(&self, class: ClassIndex) -> f64 {
        f64::from(self.shed(class)) / f64::from(WHOLE)
    }

    fn shed(&self, class: ClassIndex) -> u32 {
        self.shed_before(class).unwrap_or(0).min(WHOLE)
    }

    /// The level above that from which `class` is shed.
    fn shed_before(&self, class: ClassIndex) -> Option<u32> {
        Some(self.level.saturating_sub(self.from[class.within(self.from.len())]?))
    }

    #[cold]
    fn end_interval(&mut self, config: OverloadConfig, now: u64) {
        let interval = config.interval.max(1);
        // Intervals in which nothing came: there was no delay.
        let idle = now.saturating_sub(self.ends) / interval;
        self.ends = now.saturating_add(interval);
        match self.least.take() {
            Some(delay) => self.adapt(config.target, interval, delay),
            None => self.fall(1),
        }
        if idle > 0 {
            self.fall(idle);
        }
    }

    fn adapt(&mut self, target: u64, interval: u64, delay: u64) {
        let before = std::mem::replace(&mut self.before, delay);
        let fell = before.saturating_sub(delay);
        if delay < target / 2 {
            self.level = self.level.saturating_sub(FALL);
        } else if delay > target && fell.saturating_mul(PATIENCE) < delay - target {
            // In an interval the delay grows by the part of it for which too much work came.
            let grown = delay.saturating_sub(before).saturating_mul(u64::from(WHOLE)) / interval / 2;
            let rise = grown.saturating_add(u64::from(RISE)).min(u64::from(MOST_RISE)) as u32;
            self.level = self.level.saturating_add(rise).min(self.most);
        }
    }

    fn fall(&mut self, intervals: u64) {
        self.before = 0;
        let fall = u64::from(FALL).saturating_mul(intervals).min(u64::from(self.level)) as u32;
        self.level -= fall;
    }
}
