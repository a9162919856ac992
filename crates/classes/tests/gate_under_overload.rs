//! Twice as many requests as there is room for, in virtual time.

mod support;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use afpa_classes::{ClassConfig, ClassIndex, Classes, Decision, Gate, Permit, Priority, Turn};
use support::Random;

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// Requests at once, of 5 to 15 ms each: 2,000 in a second.
const SLOTS: u32 = 20;
const LASTS: u64 = 60 * SECOND;
const GOLD: usize = 0;
const SILVER: usize = 1;
const BRONZE: usize = 2;

#[derive(Clone, Copy)]
struct Request {
    class: usize,
    arrived: u64,
}

/// What happens next; of what happens at once, in the order that it was planned.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival { class: usize },
    End { place: usize },
    Timer,
}

#[derive(Default)]
struct Outcome {
    offered: u64,
    answered: u64,
    refused: u64,
    delays: Vec<u64>,
}

struct Simulation {
    gate: Gate<Request>,
    classes: Vec<ClassIndex>,
    random: Random,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    planned: u64,
    timer: Option<u64>,
    running: Vec<Option<(Request, Permit)>>,
    outcomes: Vec<Outcome>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let class = |name: &str, weight| ClassConfig {
            name: name.to_owned(),
            weight,
            queue: 100,
            queue_timeout: SECOND / 2,
            ..ClassConfig::default()
        };
        let classes = Classes::new(vec![class("gold", 4), class("silver", 2), class("bronze", 1)]).unwrap();
        Simulation {
            gate: Gate::new(&classes, SLOTS),
            classes: classes.iter().map(|(index, _)| index).collect(),
            random: Random(seed),
            events: BinaryHeap::new(),
            planned: 0,
            timer: None,
            running: Vec::new(),
            outcomes: (0..classes.len()).map(|_| Outcome::default()).collect(),
        }
    }

    /// `rates`: arrivals of each class in a second.
    fn run(mut self, rates: &[f64]) -> Vec<Outcome> {
        for (class, rate) in rates.iter().enumerate().filter(|(_, rate)| **rate > 0.0) {
            let first = self.random.until_next(*rate);
            self.plan(first, Event::Arrival { class });
        }
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            if now > LASTS {
                break;
            }
            match event {
                Event::Arrival { class } => {
                    let next = now + self.random.until_next(rates[class]);
                    self.plan(next, Event::Arrival { class });
                    self.arrive(Request { class, arrived: now }, now);
                }
                Event::End { place } => {
                    let (request, permit) = self.running[place].take().unwrap();
                    let outcome = &mut self.outcomes[request.class];
                    outcome.answered += 1;
                    outcome.delays.push(now - request.arrived);
                    self.gate.ended(permit);
                }
                Event::Timer => self.timer = self.timer.filter(|at| *at > now),
            }
            self.turn(now);
        }
        self.outcomes
    }

    fn arrive(&mut self, request: Request, now: u64) {
        self.outcomes[request.class].offered += 1;
        match self.gate.arrive(self.classes[request.class], now, request, Priority::default()) {
            Decision::Go { item, permit } => self.start(item, permit, now),
            Decision::Wait(_) => {}
            Decision::Refuse { item, refusal } => {
                assert_eq!(refusal.status(), 503);
                self.outcomes[item.class].refused += 1;
            }
        }
    }

    fn turn(&mut self, now: u64) {
        while let Some(turn) = self.gate.next(now) {
            match turn {
                Turn::Go { item, permit } => self.start(item, permit, now),
                Turn::Refuse { item, .. } => self.outcomes[item.class].refused += 1,
            }
        }
        if let Some(at) = self.gate.deadline()
            && self.timer.is_none_or(|planned| at < planned)
        {
            assert!(at > now, "what can be done now is done");
            self.timer = Some(at);
            self.plan(at, Event::Timer);
        }
        assert!(self.gate.running() <= SLOTS);
    }

    fn start(&mut self, request: Request, permit: Permit, now: u64) {
        let service = 5 * MILLISECOND + (self.random.unit() * 10.0 * MILLISECOND as f64) as u64;
        self.running.push(Some((request, permit)));
        self.plan(now + service, Event::End { place: self.running.len() - 1 });
    }

    fn plan(&mut self, at: u64, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((at, self.planned, event)));
    }
}

fn percentile(outcome: &Outcome, share: f64) -> u64 {
    let mut delays = outcome.delays.clone();
    delays.sort_unstable();
    delays[(delays.len() as f64 * share) as usize]
}

#[test]
fn a_class_below_its_share_does_not_notice_an_overload_by_others() {
    for seed in 1..=3 {
        let unloaded = Simulation::new(seed).run(&[600.0, 0.0, 0.0]);
        let loaded = Simulation::new(seed).run(&[600.0, 2_000.0, 1_400.0]);
        let (before, after) = (&unloaded[GOLD], &loaded[GOLD]);
        assert!(after.answered * 100 >= before.answered * 95, "{} of {}", after.answered, before.answered);
        assert!(after.answered * 100 >= after.offered * 99, "{} of {} offered", after.answered, after.offered);
        let (before, after) = (percentile(before, 0.99), percentile(after, 0.99));
        assert!(after <= 2 * before, "99 of 100 within {after} ns, unloaded {before} ns");
    }
}

#[test]
fn classes_that_wait_share_what_is_left_by_weight() {
    for seed in 1..=3 {
        let loaded = Simulation::new(seed).run(&[600.0, 2_000.0, 1_400.0]);
        let ratio = loaded[SILVER].answered as f64 / loaded[BRONZE].answered as f64;
        assert!((1.9..=2.1).contains(&ratio), "2:1, and not {ratio}");
        // Nothing is left unused: 2,000 in a second.
        let all: u64 = loaded.iter().map(|outcome| outcome.answered).sum();
        assert!(all >= 2_000 * 60 * 98 / 100, "{all}");
        let waits = percentile(&loaded[BRONZE], 0.99);
        assert!(waits <= SECOND / 2 + 15 * MILLISECOND, "nobody waits longer than its class allows: {waits}");
        for outcome in &loaded {
            let open = outcome.offered - outcome.answered - outcome.refused;
            assert!(open <= 100 + u64::from(SLOTS), "{open} are neither answered nor refused");
        }
    }
}

#[test]
fn with_room_for_all_nobody_waits_or_is_refused() {
    let outcomes = Simulation::new(9).run(&[100.0, 200.0, 200.0]);
    for outcome in outcomes {
        assert_eq!(outcome.refused, 0);
        assert!(percentile(&outcome, 0.999) <= 16 * MILLISECOND);
    }
}
