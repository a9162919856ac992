//! One fetch per miss, everybody who waits is told once, and every flight ends.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use afpa_dns::message::{Rcode, Type};
use afpa_dns::upstream::{
    Ask, Attempt, Failure, FlightId, FlightLimits, Flights, Joined, NextAttempt, PoolConfig, PoolId, Pools, Setback,
    Ticket,
};
use afpa_engine::Time;
use proptest::prelude::*;

use crate::support::{backends, flights, pools, root, seeded};

const NOW: Time = Time(1_000_000_000);

fn ask() -> Ask {
    Ask::new(root(), Type::NS)
}

/// A flight of its own, with what it is asked of.
struct Journey {
    flights: Flights<u32>,
    pools: Pools,
    id: FlightId,
    random: Box<dyn FnMut() -> u64>,
}

impl Journey {
    fn new(config: PoolConfig) -> Journey {
        let (pools, pool) = pools(config);
        let mut flights = flights();
        let Joined::First(Ticket { flight, .. }) = flights.join(b"key", pool, 1, ask) else { panic!() };
        Journey { flights, pools, id: flight, random: Box::new(seeded(1)) }
    }

    fn next_at(&mut self, now: Time) -> NextAttempt {
        self.flights.next_attempt(self.id, &mut self.pools, now, &mut self.random).unwrap()
    }

    fn asked(&mut self) -> Attempt {
        match self.next_at(NOW) {
            NextAttempt::Ask(attempt) => attempt,
            NextAttempt::GiveUp(failure) => panic!("{failure:?}"),
        }
    }

    /// What is asked after `setback`.
    fn after(&mut self, setback: Setback) -> Attempt {
        self.flights.set_back(self.id, setback);
        self.asked()
    }

    /// How the flight ends after all of `setbacks`.
    fn end(&mut self, setbacks: &[Setback]) -> Option<Failure> {
        for &setback in setbacks {
            if let NextAttempt::GiveUp(failure) = self.next_at(NOW) {
                return Some(failure);
            }
            self.flights.set_back(self.id, setback);
        }
        match self.next_at(NOW) {
            NextAttempt::Ask(_) => None,
            NextAttempt::GiveUp(failure) => Some(failure),
        }
    }
}

fn pool(weights: &[u32]) -> PoolConfig {
    PoolConfig::new("p", backends(weights))
}

fn is_same(one: &Attempt, other: &Attempt) -> bool {
    one.backend == other.backend
}

#[test]
fn a_flight_goes_on_with_the_pool_that_a_reload_put_in_place_of_its_own() {
    let mut journey = Journey::new(pool(&[1]));
    let first = journey.asked();
    journey.flights.set_back(journey.id, Setback::NeedsTcp);
    let (mut new, id) = pools(pool(&[1, 1]));
    new.adopt(&journey.pools);
    let old = std::mem::replace(&mut journey.pools, new);
    let successor = journey.pools.find("p").unwrap();
    journey.flights.move_pools(|known| (known == first.backend.pool).then_some(successor));
    assert!(old.get(id).is_some() && journey.pools.get(id).is_none(), "ids are of one generation");
    let next = journey.asked();
    assert_eq!((next.backend.pool, next.tcp), (successor, false));
    // What is heard of the old backend changes nothing.
    assert!(!is_same(&journey.after(Setback::Silence), &next));
}

#[test]
fn a_truncated_answer_is_asked_for_over_tcp_once() {
    let mut journey = Journey::new(pool(&[1, 1]));
    let first = journey.asked();
    assert!(!first.tcp && first.edns);
    let second = journey.after(Setback::NeedsTcp);
    assert!(second.tcp && second.edns && is_same(&first, &second));
    let third = journey.after(Setback::NeedsTcp);
    assert!(!third.tcp && !is_same(&first, &third));
}

#[test]
fn a_backend_that_does_not_understand_edns_is_asked_without() {
    let mut journey = Journey::new(pool(&[1, 1]));
    let first = journey.asked();
    let second = journey.after(Setback::WithoutEdns);
    assert!(!second.edns && !second.tcp && is_same(&first, &second));
    let third = journey.after(Setback::NeedsTcp);
    assert!(!third.edns && third.tcp && is_same(&first, &third));
    assert!(!is_same(&first, &journey.after(Setback::WithoutEdns)));
}

#[test]
fn a_bad_cookie_is_corrected_once_then_tcp_is_used_then_another_backend() {
    let mut journey = Journey::new(pool(&[1, 1]));
    let first = journey.asked();
    let second = journey.after(Setback::BadCookie);
    assert!(!second.tcp && is_same(&first, &second));
    let third = journey.after(Setback::BadCookie);
    assert!(third.tcp && is_same(&first, &third));
    let fourth = journey.after(Setback::BadCookie);
    assert!(!is_same(&first, &fourth));
    // That one has a correction of its own.
    let fifth = journey.after(Setback::BadCookie);
    assert!(!fifth.tcp && is_same(&fourth, &fifth));
}

#[test]
fn a_backend_for_tcp_is_asked_over_tcp() {
    let mut config = pool(&[1]);
    config.backends[0].tcp = true;
    assert!(Journey::new(config).asked().tcp);
}

#[test]
fn when_attempts_are_used_up_what_all_said_is_the_answer() {
    let refused = Setback::Failed(Rcode::REFUSED);
    let servfail = Setback::Failed(Rcode::SERVFAIL);
    let cases = [
        ([refused, refused, refused], Rcode::REFUSED, true),
        ([servfail, servfail, servfail], Rcode::SERVFAIL, true),
        ([refused, servfail, refused], Rcode::SERVFAIL, true),
        ([refused, Setback::Silence, refused], Rcode::SERVFAIL, true),
        ([Setback::Silence; 3], Rcode::SERVFAIL, false),
    ];
    for (setbacks, rcode, was_reached) in cases {
        let mut journey = Journey::new(pool(&[1, 1, 1]));
        assert_eq!(journey.end(&setbacks[..2]), None);
        assert_eq!(journey.end(&setbacks), Some(Failure { rcode, was_reached }), "{setbacks:?}");
    }
}

#[test]
fn the_last_attempt_gets_what_is_left_of_the_patience_and_then_it_is_over() {
    let mut journey = Journey::new(pool(&[1]));
    let at = |seconds: u64| NOW.after(Duration::from_secs(seconds));
    for (seconds, timeout) in [(0, 2), (2, 2), (4, 1)] {
        let NextAttempt::Ask(attempt) = journey.next_at(at(seconds)) else { panic!() };
        assert_eq!(attempt.timeout, Duration::from_secs(timeout));
        journey.flights.set_back(journey.id, Setback::Silence);
    }
    assert!(matches!(journey.next_at(at(4)), NextAttempt::GiveUp(_)));
    let mut journey = Journey::new(PoolConfig { attempts: 100, ..pool(&[1]) });
    assert!(matches!(journey.next_at(at(0)), NextAttempt::Ask(_)));
    assert!(matches!(journey.next_at(at(5)), NextAttempt::GiveUp(_)));
}

#[test]
fn after_a_reload_flights_give_up() {
    let mut journey = Journey::new(pool(&[1, 1]));
    journey.asked();
    let mut new = Pools::new(vec![pool(&[1, 1])], &mut seeded(2)).unwrap();
    new.adopt(&journey.pools);
    journey.pools = new;
    journey.flights.set_back(journey.id, Setback::NeedsTcp);
    assert!(matches!(journey.next_at(NOW), NextAttempt::GiveUp(_)));
}

#[test]
fn at_its_limits_the_table_takes_nobody_more_and_loses_nobody() {
    let (pools, pool) = pools(pool(&[1]));
    let _ = pools;
    let mut flights = Flights::new(FlightLimits { flights: 2, waiters: 4 });
    let mut join = |key: &[u8], waiter: u32| flights.join(key, pool, waiter, ask);
    let Joined::First(first) = join(b"a", 1) else { panic!() };
    assert!(matches!(join(b"b", 2), Joined::First(_)));
    assert_eq!(join(b"c", 3), Joined::Full);
    assert!(matches!(join(b"a", 4), Joined::Waiting(_)));
    assert!(matches!(join(b"a", 5), Joined::Waiting(_)));
    assert_eq!(join(b"a", 6), Joined::Full);
    assert_eq!(flights.refresh(b"c", pool, ask), None);
    let mut waiters = Vec::new();
    assert_eq!(&*flights.finish(first.flight, &mut waiters).unwrap().key, b"a");
    assert_eq!(waiters, [1, 4, 5]);
    assert!(flights.refresh(b"c", pool, ask).is_some());
    assert!(flights.refresh(b"c", pool, ask).is_none());
}

#[test]
fn who_misses_what_is_being_refreshed_waits_for_the_refresh() {
    let (_, pool) = pools(pool(&[1]));
    let mut flights = flights();
    let id = flights.refresh(b"a", pool, ask).unwrap();
    let joined = flights.join(b"a", pool, 7, || panic!("asked twice"));
    assert!(matches!(joined, Joined::Waiting(ticket) if ticket.flight == id));
    let mut waiters = Vec::new();
    assert!(flights.finish(id, &mut waiters).unwrap().is_refresh);
    assert_eq!(waiters, [7]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Join(u8),
    Refresh(u8),
    /// Of all tickets that were ever given, this one.
    Leave(usize),
    /// Of all flights that ever were, this one.
    Finish(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..5).prop_map(Step::Join),
        1 => (0u8..5).prop_map(Step::Refresh),
        2 => any::<prop::sample::Index>().prop_map(|index| Step::Leave(index.index(1000))),
        1 => any::<prop::sample::Index>().prop_map(|index| Step::Finish(index.index(1000))),
    ]
}

/// The table as one would write it without thinking of its cost.
#[derive(Default)]
struct Model {
    flights: HashMap<u8, (FlightId, Vec<u32>)>,
    tickets: Vec<(Ticket, u32)>,
    ids: Vec<FlightId>,
}

const LIMITS: FlightLimits = FlightLimits { flights: 3, waiters: 8 };

impl Model {
    fn waiting(&self) -> usize {
        self.flights.values().map(|(_, waiters)| waiters.len()).sum()
    }

    fn join(&mut self, flights: &mut Flights<u32>, pool: PoolId, key: u8, waiter: u32) {
        let is_full = self.waiting() == LIMITS.waiters
            || !self.flights.contains_key(&key) && self.flights.len() == LIMITS.flights;
        match flights.join(&[key], pool, waiter, ask) {
            Joined::Full => assert!(is_full),
            Joined::First(ticket) => {
                assert!(!is_full && !self.ids.contains(&ticket.flight), "an id was used twice");
                assert!(self.flights.insert(key, (ticket.flight, vec![waiter])).is_none());
                self.ids.push(ticket.flight);
                self.tickets.push((ticket, waiter));
            }
            Joined::Waiting(ticket) => {
                assert!(!is_full);
                let (id, waiters) = self.flights.get_mut(&key).unwrap();
                assert_eq!(*id, ticket.flight);
                waiters.push(waiter);
                self.tickets.push((ticket, waiter));
            }
        }
    }

    fn refresh(&mut self, flights: &mut Flights<u32>, pool: PoolId, key: u8) {
        let may = !self.flights.contains_key(&key) && self.flights.len() < LIMITS.flights;
        let id = flights.refresh(&[key], pool, ask);
        assert_eq!(id.is_some(), may);
        if let Some(id) = id {
            assert!(!self.ids.contains(&id));
            self.ids.push(id);
            self.flights.insert(key, (id, Vec::new()));
        }
    }

    fn leave(&mut self, flights: &mut Flights<u32>, number: usize) {
        let Some(&(ticket, waiter)) = self.tickets.get(number % self.tickets.len().max(1)) else { return };
        let queue = self.flights.values_mut().find(|(id, _)| *id == ticket.flight).map(|(_, waiters)| waiters);
        let place = queue.as_ref().and_then(|waiters| waiters.iter().position(|other| *other == waiter));
        assert_eq!(flights.leave(ticket, waiter), place.is_some());
        if let (Some(queue), Some(place)) = (queue, place) {
            queue.remove(place);
        }
    }

    fn finish(&mut self, flights: &mut Flights<u32>, number: usize) {
        let Some(&id) = self.ids.get(number % self.ids.len().max(1)) else { return };
        let key = self.flights.iter().find(|(_, (other, _))| *other == id).map(|(key, _)| *key);
        let expected = key.and_then(|key| self.flights.remove(&key)).map(|(_, waiters)| waiters);
        let mut told = Vec::new();
        let finished = flights.finish(FlightId::from_bits(id.to_bits()), &mut told);
        assert_eq!(finished.map(|finished| finished.key[0]), key);
        assert_eq!(told, expected.unwrap_or_default());
    }
}

proptest! {
    #[test]
    fn no_waiter_is_lost_or_told_twice(steps in prop::collection::vec(step(), 0..200)) {
        let (_, pool) = pools(pool(&[1]));
        let (mut flights, mut model) = (Flights::new(LIMITS), Model::default());
        for (waiter, step) in steps.into_iter().enumerate() {
            match step {
                Step::Join(key) => model.join(&mut flights, pool, key, waiter as u32),
                Step::Refresh(key) => model.refresh(&mut flights, pool, key),
                Step::Leave(number) => model.leave(&mut flights, number),
                Step::Finish(number) => model.finish(&mut flights, number),
            }
            prop_assert_eq!((flights.len(), flights.waiting()), (model.flights.len(), model.waiting()));
        }
        (0..model.ids.len()).for_each(|number| model.finish(&mut flights, number));
        prop_assert!(flights.is_empty() && flights.waiting() == 0);
    }

    #[test]
    fn every_sequence_of_setbacks_comes_to_an_end(numbers in prop::collection::vec(0usize..5, 200)) {
        let setbacks = [
            Setback::Silence,
            Setback::NeedsTcp,
            Setback::WithoutEdns,
            Setback::BadCookie,
            Setback::Failed(Rcode::REFUSED),
        ];
        let mut journey = Journey::new(pool(&[1, 2, 3]));
        let mut asked = HashSet::new();
        let setbacks: Vec<_> = numbers.iter().map(|&number| setbacks[number]).collect();
        let mut count = 0;
        for setback in setbacks {
            let NextAttempt::Ask(attempt) = journey.next_at(NOW) else { break };
            asked.insert(attempt.backend);
            count += 1;
            journey.flights.set_back(journey.id, setback);
        }
        // A backend is asked at most five times: as it is, again, over TCP, and each without EDNS.
        prop_assert!(count <= 3 * 5, "{}", count);
        prop_assert_eq!(asked.len(), 3);
    }
}
