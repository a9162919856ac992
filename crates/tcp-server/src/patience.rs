//! For how long an engine looks for work before it sleeps: polling answers sooner, and uses a processor for it.
//!
//! A processor may be the application's as well. Then looking is of no use: what is looked for is made by whoever waits for the
//! processor. An adaptive engine therefore offers it to others between two looks, and when somebody has taken it, sleeps at
//! once for a while.

use std::time::Duration;

use afpa_engine::{Rest, Time};

/// How engines learn of work that applications leave for them (TCP Servers §4: polling or interrupts).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Notify {
    /// They always look, and never sleep.
    Poll,
    /// They sleep at once, and are rung.
    Interrupt,
    /// They look for as long as that has paid off, and sleep then.
    #[default]
    Adaptive,
}

/// The longest that an adaptive engine looks in vain.
const MOST: Duration = Duration::from_micros(200);
/// What it begins with when it learns that looking would have paid off.
const LEAST: Duration = Duration::from_micros(10);

/// How often it offers the processor to others while it looks.
const OFFER: Duration = Duration::from_micros(5);
/// Between two looks nothing takes so long but somebody else's turn on the processor.
const AWAY: Duration = Duration::from_micros(50);
/// For how long it does not look when others want the processor.
const CROWDED: Duration = Duration::from_millis(100);

/// Decides before each sleep.
#[derive(Debug)]
pub struct Patience {
    notify: Notify,
    /// How long it looks before it sleeps.
    interval: Duration,
    /// Since when it has looked in vain.
    idle_since: Option<Time>,
    /// Since when it sleeps.
    asleep_since: Option<Time>,
    /// When it looked last, if it has done nothing else since.
    looked: Option<Time>,
    /// When it offered the processor last.
    offered: Time,
    /// Until when others are taken to want the processor.
    crowded_until: Time,
}

impl Patience {
    /// At the beginning.
    pub fn new(notify: Notify) -> Patience {
        Patience {
            notify,
            interval: LEAST,
            idle_since: None,
            asleep_since: None,
            looked: None,
            offered: Time::default(),
            crowded_until: Time::default(),
        }
    }

    /// There was something to do.
    pub fn worked(&mut self, now: Time) {
        self.notice_others(now);
        let looked = self.idle_since.take().is_some_and(|since| now > since);
        // A sleep that was so short was not worth it: looking would have found this.
        let dozed = self.asleep_since.take().is_some_and(|since| now.since(since) < MOST);
        if looked || dozed {
            self.interval = (self.interval * 2).clamp(LEAST, MOST);
        }
    }

    /// There is nothing to do at `now`: whether the engine may sleep.
    pub fn rest(&mut self, now: Time) -> Rest {
        match self.notify {
            Notify::Poll => return Rest::Stay,
            Notify::Interrupt => return Rest::Sleep,
            Notify::Adaptive => {}
        }
        if self.asleep_since.is_some() {
            // Woken for something else than work.
            return Rest::Sleep;
        }
        self.notice_others(now);
        let since = *self.idle_since.get_or_insert(now);
        if now.since(since) < self.interval && now >= self.crowded_until {
            self.looked = Some(now);
            return Rest::Stay;
        }
        if !self.interval.is_zero() && now >= self.crowded_until {
            self.interval /= 2;
            if self.interval < Duration::from_micros(1) {
                self.interval = Duration::ZERO;
            }
        }
        (self.idle_since, self.asleep_since) = (None, Some(now));
        Rest::Sleep
    }

    /// Whether the processor is to be offered to others before the next look.
    pub fn offers(&mut self, now: Time) -> bool {
        let is_due = self.notify == Notify::Adaptive && now.since(self.offered) >= OFFER;
        if is_due {
            self.offered = now;
        }
        is_due
    }

    /// Learns from the time since the last look whether somebody else has had the processor.
    fn notice_others(&mut self, now: Time) {
        if self.looked.take().is_some_and(|looked| now.since(looked) > AWAY) {
            self.crowded_until = now.after(CROWDED);
        }
    }

    /// For how long it would look now.
    pub fn interval(&self) -> Duration {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(micros: u64) -> Time {
        Time(micros * 1000)
    }

    fn look_until_asleep(patience: &mut Patience, now: &mut u64) {
        while patience.rest(micros(*now)) == Rest::Stay {
            *now += 5;
        }
    }

    #[test]
    fn polling_and_interrupts_do_not_adapt() {
        let (mut poll, mut interrupt) = (Patience::new(Notify::Poll), Patience::new(Notify::Interrupt));
        for now in [0, 10, 1_000_000] {
            assert_eq!((poll.rest(micros(now)), interrupt.rest(micros(now))), (Rest::Stay, Rest::Sleep));
        }
    }

    #[test]
    fn it_looks_longer_where_looking_finds_work_and_less_where_not() {
        let mut patience = Patience::new(Notify::Adaptive);
        let mut now = 0;
        for expected in [20, 40, 80, 160, 200, 200] {
            assert_eq!(patience.rest(micros(now)), Rest::Stay);
            now += 5;
            patience.worked(micros(now));
            assert_eq!(patience.interval(), Duration::from_micros(expected));
        }
        for expected in [100, 50, 25] {
            assert_eq!(patience.rest(micros(now)), Rest::Stay);
            look_until_asleep(&mut patience, &mut now);
            assert_eq!(patience.interval(), Duration::from_micros(expected));
            now += 10_000;
            patience.worked(micros(now));
        }
    }

    #[test]
    fn who_always_looks_in_vain_sleeps_at_once_until_a_sleep_was_short() {
        let mut patience = Patience::new(Notify::Adaptive);
        let mut now = 0;
        for _ in 0..20 {
            look_until_asleep(&mut patience, &mut now);
            now += 50_000;
            patience.worked(micros(now));
        }
        assert_eq!(patience.interval(), Duration::ZERO);
        assert_eq!(patience.rest(micros(now)), Rest::Sleep);
        patience.worked(micros(now + 30));
        assert_eq!(patience.interval(), LEAST);
        assert_eq!(patience.rest(micros(now + 30)), Rest::Stay);
    }

    #[test]
    fn who_shares_a_processor_does_not_look_while_others_want_it() {
        let mut patience = Patience::new(Notify::Adaptive);
        assert_eq!(patience.rest(micros(1000)), Rest::Stay);
        assert!(patience.offers(micros(1000)) && !patience.offers(micros(1002)) && patience.offers(micros(1005)));
        // It was away for as long as an application's turn takes, which had nothing for it.
        assert_eq!(patience.rest(micros(1400)), Rest::Sleep);
        patience.worked(micros(1420));
        assert_eq!(patience.rest(micros(1430)), Rest::Sleep);
        // Nobody has wanted it for some time.
        patience.worked(micros(150_000));
        assert_eq!(patience.rest(micros(150_010)), Rest::Stay);
        // Or what it has come back to was made meanwhile.
        patience.worked(micros(150_110));
        assert_eq!(patience.rest(micros(150_120)), Rest::Sleep);
        assert!(![Notify::Poll, Notify::Interrupt].map(Patience::new).iter_mut().any(|p| p.offers(micros(9000))));
    }

    #[test]
    fn woken_without_work_it_sleeps_on() {
        let mut patience = Patience::new(Notify::Adaptive);
        let mut now = 0;
        look_until_asleep(&mut patience, &mut now);
        assert_eq!(patience.rest(micros(now + 1000)), Rest::Sleep);
    }
}
