//! An engine with more to do than it can, in virtual time: requests wait in a line before it looks at them.

mod support;

use std::collections::VecDeque;

use afpa_classes::{ClassConfig, ClassIndex, Classes, Overload, OverloadConfig, Reason};
use support::Random;

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// What an answer costs the engine: 10,000 in a second; and what a refusal costs it.
const ANSWER: u64 = MILLISECOND / 10;
const REFUSAL: u64 = ANSWER / 50;
const CONFIG: OverloadConfig = OverloadConfig { target: 5 * MILLISECOND, interval: 100 * MILLISECOND };

struct Simulation {
    overload: Overload,
    classes: Vec<ClassIndex>,
    random: Random,
    now: u64,
    next: Vec<u64>,
    line: VecDeque<(usize, u64)>,
}

/// What was seen in a time.
#[derive(Default)]
struct Seen {
    answered: [u64; 3],
    refused: [u64; 3],
    delays: Vec<u64>,
    /// The share of each class that was shed, at each request.
    shares: [Vec<f64>; 3],
}

impl Simulation {
    fn new(seed: u64, config: Option<OverloadConfig>) -> Simulation {
        let classes = classes(&[("gold", 0, true), ("silver", 1, true), ("bronze", 2, true)]);
        Simulation {
            overload: Overload::new(&classes, config),
            classes: classes.iter().map(|(index, _)| index).collect(),
            random: Random(seed),
            now: 0,
            next: vec![0; 3],
            line: VecDeque::new(),
        }
    }

    /// Goes on for `lasts`, with `rates` arrivals of each class in a second.
    fn run(&mut self, rates: [f64; 3], lasts: u64) -> Seen {
        let (mut seen, end) = (Seen::default(), self.now + lasts);
        for (class, next) in self.next.iter_mut().enumerate() {
            *next = self.now + self.random.until_next(rates[class]);
        }
        while self.now < end {
            self.receive(rates);
            let Some((class, arrived)) = self.line.pop_front() else {
                self.now = self.next.iter().copied().min().unwrap();
                continue;
            };
            self.overload.observe(self.now - arrived, self.now);
            seen.delays.push(self.now - arrived);
            for (shares, class) in seen.shares.iter_mut().zip(&self.classes) {
                shares.push(self.overload.share(*class));
            }
            if self.overload.admits(self.classes[class], self.random.next() as u32) {
                seen.answered[class] += 1;
                self.now += ANSWER;
            } else {
                seen.refused[class] += 1;
                self.now += REFUSAL;
            }
        }
        seen
    }

    /// What has arrived by now, in its order.
    fn receive(&mut self, rates: [f64; 3]) {
        while let Some((class, at)) = self.next.iter().copied().enumerate().min_by_key(|(_, at)| *at)
            && at <= self.now
        {
            self.line.push_back((class, at));
            self.next[class] = at + self.random.until_next(rates[class]);
        }
    }
}

impl Seen {
    fn percentile(&self, share: f64) -> u64 {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        delays[((delays.len() - 1) as f64 * share) as usize]
    }

    fn answered_share(&self, class: usize) -> f64 {
        self.answered[class] as f64 / (self.answered[class] + self.refused[class]) as f64
    }

    fn shed(&self, class: usize) -> (f64, f64) {
        let shares = &self.shares[class];
        (shares.iter().copied().fold(1.0, f64::min), shares.iter().copied().fold(0.0, f64::max))
    }
}

fn classes(all: &[(&str, u8, bool)]) -> Classes {
    let config = |&(name, priority, sheddable): &(&str, u8, bool)| ClassConfig {
        name: name.to_owned(),
        priority,
        sheddable,
        ..ClassConfig::default()
    };
    Classes::new(all.iter().map(config).collect()).unwrap()
}

#[test]
fn the_delay_stays_near_its_target_and_the_least_important_are_shed() {
    for seed in 1..=3 {
        let mut simulation = Simulation::new(seed, Some(CONFIG));
        let rates = [3_000.0, 5_000.0, 12_000.0];
        let start = simulation.run(rates, 10 * SECOND);
        assert!(start.percentile(1.0) <= 50 * CONFIG.target, "{} ns at the worst", start.percentile(1.0));
        let seen = simulation.run(rates, 20 * SECOND);
        let (median, high) = (seen.percentile(0.5), seen.percentile(0.99));
        assert!(median <= 2 * CONFIG.target, "{median} ns");
        assert!(high <= 6 * CONFIG.target, "{high} ns");
        assert_eq!((seen.refused[0], seen.refused[1]), (0, 0));
        // The engine is kept busy: of 200,000 answers nearly all are given.
        let answered: u64 = seen.answered.iter().sum();
        assert!(answered >= 190_000, "{answered}");
        // What is shed of the class does not swing.
        let (least, most) = seen.shed(2);
        assert!(most - least <= 0.25, "from {least} to {most} of bronze");
    }
}

#[test]
fn the_next_class_is_shed_when_the_one_below_it_is_refused_entirely() {
    let mut simulation = Simulation::new(5, Some(CONFIG));
    let rates = [5_000.0, 20_000.0, 15_000.0];
    let first = simulation.run(rates, 15 * SECOND);
    for (bronze, silver) in first.shares[2].iter().zip(&first.shares[1]) {
        assert!(*silver == 0.0 || *bronze == 1.0, "silver {silver} while bronze {bronze}");
    }
    let seen = simulation.run(rates, 20 * SECOND);
    assert_eq!(seen.refused[0], 0, "gold is not shed while silver is not");
    assert!(seen.answered_share(2) <= 0.01, "{}", seen.answered_share(2));
    assert!((0.1..0.4).contains(&seen.answered_share(1)), "{}", seen.answered_share(1));
    assert!(seen.percentile(0.99) <= 10 * CONFIG.target, "{} ns", seen.percentile(0.99));
}

#[test]
fn when_the_overload_is_over_everybody_comes_back_bit_by_bit() {
    let mut simulation = Simulation::new(7, Some(CONFIG));
    simulation.run([3_000.0, 5_000.0, 12_000.0], 20 * SECOND);
    let recovery = simulation.run([1_000.0, 2_000.0, 2_000.0], 15 * SECOND);
    for pair in recovery.shares[2].windows(2) {
        assert!(pair[0] - pair[1] <= 0.04, "from {} to {} at once", pair[0], pair[1]);
    }
    let seen = simulation.run([1_000.0, 2_000.0, 2_000.0], 10 * SECOND);
    assert_eq!(seen.refused, [0; 3]);
}

#[test]
fn a_burst_is_no_overload() {
    let classes = classes(&[("only", 0, true)]);
    let class = classes.find("only").unwrap();
    let mut overload = Overload::new(&classes, Some(CONFIG));
    for step in 0..1_000u64 {
        // Most of each interval is spent on a burst; once in it the line is empty.
        let delay = if step % 10 == 9 { 0 } else { 50 * MILLISECOND };
        overload.observe(delay, step * 10 * MILLISECOND);
        assert!(overload.admits(class, 0));
    }
}

#[test]
fn near_the_target_and_while_the_delay_falls_quickly_nothing_changes() {
    let classes = classes(&[("only", 0, true)]);
    let class = classes.find("only").unwrap();
    let mut overload = Overload::new(&classes, Some(CONFIG));
    let mut now = 0;
    // The share after an interval with this delay.
    let mut after = |milliseconds: u64| {
        overload.observe(milliseconds * MILLISECOND, now);
        now += CONFIG.interval;
        overload.observe(u64::MAX, now);
        overload.share(class)
    };
    let risen = after(100);
    assert!(risen > 0.0);
    assert_eq!([after(80), after(60), after(40)], [risen; 3], "soon it will be there");
    let again = after(39);
    assert!(again > risen, "but not so: {again}");
    assert_eq!([after(5), after(4), after(3)], [again; 3]);
    let fallen = after(2);
    assert!(fallen < again && fallen >= again - 0.02, "bit by bit: {fallen}");
    assert!(after(1_000) <= fallen + 0.25, "no more than a quarter at once");
}

#[test]
fn what_is_not_sheddable_is_never_shed_and_an_idle_time_ends_an_overload() {
    let classes = classes(&[("a", 1, false), ("b", 0, true), ("c", 9, true), ("d", 9, true)]);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| classes.find(name).unwrap());
    let mut overload = Overload::new(&classes, Some(CONFIG));
    let mut shares = Vec::new();
    for interval in 0..150u64 {
        overload.observe(SECOND + interval, interval * CONFIG.interval);
        shares.push((overload.share(b), overload.share(c)));
        assert_eq!(overload.share(c), overload.share(d), "classes of one priority are shed together");
        assert!(overload.share(b) == 0.0 || overload.share(c) == 1.0);
    }
    assert!(shares.is_sorted(), "while the delay does not fall, more and more");
    assert!(overload.admits(a, 0));
    assert!(!overload.admits(b, u32::MAX) && !overload.admits(c, u32::MAX));
    let refusal = overload.refusal(c, 0);
    assert_eq!((refusal.status(), refusal.reason), (503, Reason::Overload));
    assert!(overload.refusal(b, 0).retry_after < refusal.retry_after, "c comes back later than b");
    assert!(overload.refusal(b, u32::MAX).retry_after <= 2 * overload.refusal(b, 0).retry_after);
    overload.reload(&classes, Some(CONFIG));
    assert!(!overload.admits(b, u32::MAX), "a reload does not open the gates");
    overload.observe(0, 1_000 * SECOND);
    assert!([a, b, c, d].into_iter().all(|class| overload.admits(class, 0)));
}

#[test]
fn without_a_configuration_nothing_is_shed() {
    let mut simulation = Simulation::new(5, None);
    let seen = simulation.run([5_000.0; 3], 5 * SECOND);
    assert_eq!(seen.refused, [0; 3]);
}
