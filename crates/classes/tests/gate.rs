//! Who goes, who waits, who is refused.

use std::collections::{BTreeMap, BTreeSet};

use afpa_classes::{ClassConfig, ClassIndex, Classes, Decision, Gate, Permit, Priority, Reason, Ticket, Turn};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn classes(configs: Vec<ClassConfig>) -> (Classes, Vec<ClassIndex>) {
    let named = configs.into_iter().enumerate();
    let named = named.map(|(number, config)| ClassConfig { name: number.to_string(), ..config });
    let classes = Classes::new(named.collect()).unwrap();
    let indices = classes.iter().map(|(index, _)| index).collect();
    (classes, indices)
}

fn weighted(weight: u32) -> ClassConfig {
    ClassConfig { weight, ..ClassConfig::default() }
}

/// A gate whose requests are numbers.
struct Door {
    gate: Gate<u32>,
    classes: Vec<ClassIndex>,
    permits: Vec<Permit>,
}

impl Door {
    fn new(configs: Vec<ClassConfig>, capacity: u32) -> Door {
        let (classes, indices) = classes(configs);
        Door { gate: Gate::new(&classes, capacity), classes: indices, permits: Vec::new() }
    }

    fn arrive(&mut self, class: usize, now: u64, item: u32, urgency: u8) -> Result<Option<Ticket>, (u16, u32, Reason)> {
        match self.gate.arrive(self.classes[class], now, item, Priority::new(urgency, false)) {
            Decision::Go { item: same, permit } => {
                assert_eq!(same, item);
                self.permits.push(permit);
                Ok(None)
            }
            Decision::Wait(ticket) => Ok(Some(ticket)),
            Decision::Refuse { item: same, refusal } => {
                assert_eq!(same, item);
                Err((refusal.status(), refusal.retry_after, refusal.reason))
            }
        }
    }

    /// One ends; the numbers of those that go now.
    fn end(&mut self, now: u64) -> Vec<u32> {
        let permit = self.permits.remove(0);
        self.gate.ended(permit);
        self.go(now)
    }

    fn go(&mut self, now: u64) -> Vec<u32> {
        let mut went = Vec::new();
        while let Some(turn) = self.gate.next(now) {
            match turn {
                Turn::Go { item, permit } => {
                    self.permits.push(permit);
                    went.push(item);
                }
                Turn::Refuse { item, refusal } => panic!("{item} is refused: {refusal:?}"),
            }
        }
        went
    }
}

/// How many more of one class than of the other have gone at any time; numbers from 1,000 are of the other.
fn farthest_apart(went: &[u32]) -> i32 {
    let ahead = went.iter().scan(0i32, |ahead, item| {
        *ahead += if *item < 1_000 { 1 } else { -1 };
        Some(ahead.abs())
    });
    ahead.max().unwrap_or(0)
}

#[test]
fn without_limits_everybody_goes() {
    let mut door = Door::new(vec![ClassConfig::default()], u32::MAX);
    for item in 0..10_000 {
        assert_eq!(door.arrive(0, 0, item, 3), Ok(None));
    }
    assert_eq!((door.gate.running(), door.gate.deadline()), (10_000, None));
}

#[test]
fn the_more_urgent_go_first_and_equals_in_their_order() {
    let mut door = Door::new(vec![ClassConfig::default()], 1);
    assert_eq!(door.arrive(0, 0, 0, 3), Ok(None));
    for (item, urgency) in [(1, 3), (2, 7), (3, 0), (4, 3), (5, 0)] {
        assert!(door.arrive(0, 0, item, urgency).unwrap().is_some());
    }
    let order: Vec<_> = (0..5).flat_map(|_| door.end(0)).collect();
    assert_eq!(order, [3, 5, 1, 4, 2]);
}

#[test]
fn the_least_urgent_does_not_starve() {
    let mut door = Door::new(vec![ClassConfig::default()], 1);
    door.arrive(0, 0, 0, 3).unwrap();
    door.arrive(0, 0, 1, 7).unwrap();
    let mut went = Vec::new();
    for item in 2..12 {
        door.arrive(0, 0, item, 0).unwrap();
        went.extend(door.end(0));
    }
    assert_eq!(went.iter().position(|item| *item == 1), Some(7), "it is the eighth: {went:?}");
}

#[test]
fn a_full_queue_refuses_and_a_timeout_does() {
    let mut door = Door::new(vec![ClassConfig { queue: 1, queue_timeout: 2 * SECOND, ..ClassConfig::default() }], 1);
    door.arrive(0, 0, 0, 3).unwrap();
    assert!(door.arrive(0, SECOND, 1, 3).unwrap().is_some());
    assert_eq!(door.arrive(0, SECOND, 2, 3), Err((503, 2, Reason::QueueFull)));
    assert_eq!(door.gate.deadline(), Some(3 * SECOND));
    assert!(door.gate.next(3 * SECOND - 1).is_none());
    let Some(Turn::Refuse { item, refusal }) = door.gate.next(3 * SECOND) else { panic!("it waits too long") };
    assert_eq!((item, refusal.status(), refusal.retry_after, refusal.reason), (1, 503, 2, Reason::QueueTimeout));
    assert_eq!(door.gate.deadline(), None);
}

#[test]
fn a_concurrency_holds_up_only_its_class() {
    let mut door = Door::new(vec![ClassConfig { concurrency: Some(1), ..ClassConfig::default() }, weighted(1)], 100);
    assert_eq!(door.arrive(0, 0, 0, 3), Ok(None));
    assert!(door.arrive(0, 0, 1, 3).unwrap().is_some());
    assert_eq!(door.arrive(1, 0, 2, 3), Ok(None));
    assert_eq!(door.go(0), []);
    assert_eq!(door.end(0), [1]);
}

#[test]
fn the_more_important_goes_first_and_the_others_share_what_is_left_by_weight() {
    let gold = ClassConfig { priority: 0, ..weighted(1) };
    let mut door = Door::new(vec![gold, weighted(3), weighted(1)], 1);
    for item in 0..100 {
        door.arrive(1, 0, 1_000 + item, 3).unwrap();
        door.arrive(2, 0, 2_000 + item, 3).unwrap();
    }
    let mut went = Vec::new();
    for item in 0..40 {
        // Every other turn is taken by one that has just come.
        door.arrive(0, 0, item, 3).unwrap();
        assert_eq!(door.end(0), [item]);
        went.extend(door.end(0));
    }
    let of = |class: u32| went.iter().filter(|&&item| item / 1_000 == class).count();
    assert!((of(1), of(2)) == (30, 10) || (of(1), of(2)) == (31, 9), "{went:?}");
}

#[test]
fn the_delay_is_that_of_who_waits_for_nothing_but_room() {
    let limited = ClassConfig { concurrency: Some(1), ..weighted(1) };
    let gold = ClassConfig { priority: 0, ..weighted(1) };
    let mut door = Door::new(vec![limited, weighted(1), gold], 2);
    let delays = |door: &Door, now| [0, 1, 2].map(|class: usize| door.gate.delay(door.classes[class], now));
    assert_eq!(delays(&door, 0), [0, 0, 0]);
    door.arrive(0, 0, 0, 3).unwrap();
    door.arrive(0, 0, 1, 3).unwrap();
    assert_eq!(delays(&door, 50), [0, 0, 0], "there is room");
    door.arrive(1, 50, 2, 3).unwrap();
    assert_eq!(delays(&door, 60), [0, 0, 0], "only its own limit holds it up");
    door.arrive(1, 60, 3, 3).unwrap();
    assert_eq!(delays(&door, 100), [40, 40, 0], "gold goes before");
    door.arrive(2, 90, 4, 3).unwrap();
    assert_eq!(delays(&door, 100), [40, 40, 10]);
    assert_eq!((door.end(100), delays(&door, 100)), (vec![4], [100, 100, 0]), "its own limit holds it up no longer");
}

#[test]
fn who_leaves_is_not_called_and_a_ticket_is_good_once() {
    let mut door = Door::new(vec![ClassConfig::default()], 1);
    door.arrive(0, 0, 0, 3).unwrap();
    let tickets: Vec<_> = (1..4).map(|item| door.arrive(0, 0, item, 3).unwrap().unwrap()).collect();
    assert_eq!(door.gate.leave(tickets[1]), Some(2));
    assert_eq!(door.gate.leave(tickets[1]), None);
    assert_eq!(door.end(0), [1]);
    assert_eq!(door.gate.leave(tickets[0]), None, "it has gone already");
    let again = door.arrive(0, 0, 5, 3).unwrap().unwrap();
    assert_eq!(door.gate.leave(tickets[0]), None, "its place is another's");
    assert_eq!(door.gate.leave(again), Some(5));
    assert_eq!(door.gate.waiting(door.classes[0]), 1);
}

#[test]
fn a_capacity_that_changes_lets_more_go_or_fewer() {
    let mut door = Door::new(vec![ClassConfig::default()], 0);
    for item in 0..5 {
        door.arrive(0, 0, item, 3).unwrap();
    }
    door.gate.set_capacity(3);
    assert!(door.arrive(0, 0, 5, 3).unwrap().is_some(), "nobody jumps the queue");
    assert_eq!(door.go(0), [0, 1, 2]);
    door.gate.set_capacity(1);
    assert_eq!((door.end(0), door.end(0), door.end(0)), (vec![], vec![], vec![3]));
}

#[test]
fn who_comes_does_not_go_before_another_class_that_waits() {
    let mut door = Door::new(vec![weighted(1), weighted(1)], 0);
    door.arrive(0, 0, 0, 3).unwrap();
    door.gate.set_capacity(1);
    assert!(door.arrive(1, 0, 1, 3).unwrap().is_some());
    assert_eq!(door.go(0), [0]);
}

#[test]
fn a_class_that_had_nothing_waiting_has_saved_nothing_up_and_owes_nothing() {
    let mut door = Door::new(vec![weighted(1), weighted(1)], 1);
    for item in 0..200 {
        door.arrive(0, 0, item, 3).unwrap();
    }
    (0..100).for_each(|_| assert_eq!(door.end(0).len(), 1));
    (1_000..1_100).for_each(|item| assert!(door.arrive(1, 0, item, 3).unwrap().is_some()));
    let went: Vec<_> = (0..100).flat_map(|_| door.end(0)).collect();
    assert_eq!(went.len(), 100);
    assert!(farthest_apart(&went) <= 2, "one of each: {went:?}");
}

#[test]
fn a_reload_returns_who_waits_and_forgets_no_permit() {
    let mut door = Door::new(vec![weighted(1), weighted(1)], 2);
    for (item, class) in [(0, 0), (1, 1), (2, 1), (3, 0)] {
        door.arrive(class, 0, item, 3).unwrap();
    }
    let (fewer, indices) = classes(vec![ClassConfig { concurrency: Some(1), ..ClassConfig::default() }]);
    let mut waited = door.gate.reload(&fewer);
    waited.sort_unstable();
    assert_eq!((waited, door.gate.running(), door.gate.deadline()), (vec![2, 3], 2, None));
    assert!(door.arrive(1, 0, 4, 3).unwrap().is_some(), "a class that is no more is the last one");
    assert_eq!(door.end(0), [4]);
    assert!(door.arrive(0, 0, 5, 3).unwrap().is_some());
    assert_eq!(door.end(0), [], "the old permit was not one of the new class's");
    assert_eq!(door.end(0), [5]);
    assert_eq!((door.gate.running(), door.gate.waiting(indices[0])), (1, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Arrive { class: usize, urgency: u8 },
    End(usize),
    Leave(usize),
    Pass(u64),
    Capacity(u32),
    Next,
    Reload,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4usize, 0..8u8).prop_map(|(class, urgency)| Step::Arrive { class, urgency }),
        4 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Leave),
        2 => (0..SECOND).prop_map(Step::Pass),
        1 => (0..6u32).prop_map(Step::Capacity),
        6 => Just(Step::Next),
        1 => Just(Step::Reload),
    ]
}

fn configs() -> impl Strategy<Value = Vec<ClassConfig>> {
    let config = (1..10u32, 0..3u8, prop::option::of(1..4u32), 0..5u32, 1..SECOND);
    let config = config.prop_map(|(weight, priority, concurrency, queue, queue_timeout)| ClassConfig {
        weight,
        priority,
        concurrency,
        queue,
        queue_timeout,
        ..ClassConfig::default()
    });
    prop::collection::vec(config, 4)
}

proptest! {
    #[test]
    fn limits_hold_and_nobody_is_lost_or_called_twice(
        configs in configs(), capacity in 0..6u32, steps in prop::collection::vec(steps(), 1..200),
    ) {
        let (classes, indices) = classes(configs);
        let mut gate = Gate::new(&classes, capacity);
        let (mut now, mut capacity, mut number) = (0, capacity, 0);
        // Item, its class, and its permit; the class is none after a reload.
        let mut running: Vec<(u32, Option<usize>, Permit)> = Vec::new();
        let mut waiting: BTreeMap<u32, (usize, Ticket, u64)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Arrive { class, urgency } => {
                    number += 1;
                    let priority = Priority::new(urgency, false);
                    match gate.arrive(indices[class], now, number, priority) {
                        Decision::Go { item, permit } => {
                            prop_assert_eq!(item, number);
                            running.push((item, Some(class), permit));
                            prop_assert!(running.len() <= capacity as usize);
                        }
                        Decision::Wait(ticket) => {
                            let expires = now + classes.config(indices[class]).queue_timeout;
                            waiting.insert(number, (class, ticket, expires));
                        }
                        Decision::Refuse { item, refusal } => {
                            prop_assert_eq!(item, number);
                            prop_assert!(refusal.retry_after >= 1);
                        }
                    }
                }
                Step::End(which) if !running.is_empty() => {
                    let (_, _, permit) = running.swap_remove(which % running.len());
                    gate.ended(permit);
                }
                Step::Leave(which) if !waiting.is_empty() => {
                    let item = *waiting.keys().nth(which % waiting.len()).unwrap();
                    let (_, ticket, _) = waiting.remove(&item).unwrap();
                    prop_assert_eq!(gate.leave(ticket), Some(item));
                    prop_assert_eq!(gate.leave(ticket), None);
                }
                Step::Pass(time) => now += time,
                Step::Capacity(new) => {
                    capacity = new;
                    gate.set_capacity(capacity);
                }
                Step::Next => match gate.next(now) {
                    Some(Turn::Go { item, permit }) => {
                        let (class, _, expires) = waiting.remove(&item).expect("it waits");
                        prop_assert!(expires > now);
                        running.push((item, Some(class), permit));
                        prop_assert!(running.len() <= capacity as usize);
                    }
                    Some(Turn::Refuse { item, .. }) => {
                        let (_, _, expires) = waiting.remove(&item).expect("it waits");
                        prop_assert!(expires <= now);
                    }
                    None => {
                        let deadline = gate.deadline();
                        prop_assert_eq!(deadline.is_some(), !waiting.is_empty());
                        prop_assert!(deadline.is_none_or(|at| at > now), "what can be done now is done");
                    }
                },
                Step::Reload => {
                    let returned: BTreeSet<_> = gate.reload(&classes).into_iter().collect();
                    prop_assert_eq!(&returned, &waiting.keys().copied().collect());
                    waiting.clear();
                    running.iter_mut().for_each(|(_, class, _)| *class = None);
                }
                _ => {}
            }
            prop_assert_eq!(gate.running() as usize, running.len());
            for (class, index) in indices.iter().enumerate() {
                let config = classes.config(*index);
                let of_class = running.iter().filter(|(_, its, _)| *its == Some(class)).count();
                prop_assert!(config.concurrency.is_none_or(|most| of_class <= most as usize));
                let waits = waiting.values().filter(|(its, ..)| *its == class).count();
                prop_assert_eq!(gate.waiting(*index) as usize, waits);
                prop_assert!(waits <= config.queue as usize);
            }
        }
    }

    #[test]
    fn classes_that_wait_share_by_weight(weights in prop::collection::vec(1..50u32, 2..8), capacity in 1..5u32) {
        let configs = weights.iter().map(|weight| weighted(*weight)).collect();
        let mut door = Door::new(configs, capacity);
        let mut went = vec![0u32; weights.len()];
        for item in 0..capacity + 500 * weights.len() as u32 {
            door.arrive(item as usize % weights.len(), 0, item, 3).unwrap();
        }
        for _ in 0..400 {
            for item in door.end(0) {
                went[item as usize % weights.len()] += 1;
            }
            for (left, right) in (0..weights.len()).flat_map(|left| (0..left).map(move |right| (left, right))) {
                let [left, right] = [left, right].map(|class| (f64::from(went[class]), f64::from(weights[class])));
                let apart = (left.0 / left.1 - right.0 / right.1).abs();
                prop_assert!(apart <= 1.0 / left.1 + 1.0 / right.1 + 1e-6, "{apart}");
            }
        }
    }
}
