//! When a backend is up, when down, and when it is checked.

use std::time::Duration;

use afpa_dns::upstream::{Health, HealthChange, HealthConfig, HealthEvent, HealthState, TRANSITIONS};
use afpa_engine::Time;

use HealthState::{Doubtful, Down, Recovering, Up};

const NOW: Time = Time(1_000_000_000);

fn config() -> HealthConfig {
    HealthConfig::default()
}

/// A backend that failed three checks.
fn down(config: &HealthConfig) -> Health {
    let mut health = Health::new();
    for _ in 0..config.failures {
        health.failed(config, NOW);
    }
    assert_eq!(health.state(), Down);
    health
}

#[test]
fn each_state_has_one_row_for_each_event() {
    let states = [Up, Doubtful, Down, Recovering];
    let events = [
        HealthEvent::Success,
        HealthEvent::SuccessLimit,
        HealthEvent::Failure,
        HealthEvent::FailureLimit,
        HealthEvent::Lapse,
    ];
    for state in states {
        for event in events {
            let rows = TRANSITIONS.iter().filter(|(from, on, _)| *from == state && *on == event).count();
            assert_eq!(rows, 1, "{state:?} {event:?}");
        }
    }
    assert_eq!(TRANSITIONS.len(), states.len() * events.len());
}

#[test]
fn enough_failed_checks_in_a_row_take_a_backend_down_and_one_passed_brings_it_up() {
    let config = config();
    let mut health = Health::new();
    assert_eq!(health.failed(&config, NOW), Some(HealthChange { from: Up, to: Doubtful }));
    assert_eq!(health.failed(&config, NOW), None);
    assert!(health.is_usable());
    assert_eq!(health.failed(&config, NOW), Some(HealthChange { from: Doubtful, to: Down }));
    assert!(!health.is_usable());
    assert_eq!(health.passed(&config), Some(HealthChange { from: Down, to: Up }));
}

#[test]
fn a_success_between_failures_starts_the_count_anew() {
    let config = config();
    let mut health = Health::new();
    for _ in 0..10 {
        health.failed(&config, NOW);
        health.failed(&config, NOW);
        health.answered(&config);
        assert_eq!(health.state(), Up);
    }
}

#[test]
fn several_passed_checks_can_be_asked_for() {
    let config = HealthConfig { successes: 3, ..config() };
    let mut health = down(&config);
    health.passed(&config);
    assert_eq!(health.state(), Recovering);
    health.passed(&config);
    health.failed(&config, NOW);
    assert_eq!(health.state(), Down);
    for _ in 0..3 {
        assert!(!health.is_usable());
        health.passed(&config);
    }
    assert_eq!(health.state(), Up);
}

#[test]
fn unanswered_questions_take_a_backend_down_later_than_refusals() {
    let config = config();
    let mut health = Health::new();
    for _ in 0..9 {
        health.timed_out(&config, NOW);
    }
    assert_eq!(health.state(), Doubtful);
    health.timed_out(&config, NOW);
    assert_eq!(health.state(), Down);
    let mut health = Health::new();
    for _ in 0..3 {
        health.refused(&config, NOW);
    }
    assert_eq!(health.state(), Down);
}

#[test]
fn a_late_answer_does_not_bring_a_backend_up_that_is_checked() {
    let config = config();
    let mut health = down(&config);
    assert_eq!(health.answered(&config), None);
    assert_eq!(health.state(), Down);
}

#[test]
fn checks_come_an_interval_apart_give_or_take_a_tenth() {
    let config = config();
    let (mut health, mut now, mut number) = (Health::new(), NOW, 0u64);
    let mut random = || {
        number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        number
    };
    assert!(health.due(&config, now, &mut random));
    let mut seen = Vec::new();
    for _ in 0..100 {
        assert!(!health.due(&config, now, &mut random));
        let next = health.next(&config);
        seen.push(next.since(now));
        now = next;
        assert!(health.due(&config, now, &mut random));
    }
    let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
    assert!(*least >= Duration::from_millis(4500) && *most <= Duration::from_millis(5500));
    assert!(*most - *least > Duration::from_millis(500));
}

#[test]
fn a_failure_brings_the_next_check_forward() {
    let config = config();
    let mut health = Health::new();
    assert!(health.due(&config, NOW, &mut || 0));
    health.timed_out(&config, NOW);
    assert!(health.next(&config) <= NOW.after(Duration::from_millis(500)));
    assert!(health.next(&config) > NOW);
}

#[test]
fn without_checks_nothing_is_due_until_a_backend_is_down_and_then_it_gets_a_trial() {
    let config = HealthConfig { checks: false, ..config() };
    let mut health = Health::new();
    assert_eq!(health.next(&config), Time::NEVER);
    for _ in 0..3 {
        health.refused(&config, NOW);
    }
    assert_eq!(health.state(), Down);
    let lapse = health.next(&config);
    assert_eq!(lapse, NOW.after(config.interval));
    assert!(!health.due(&config, lapse, &mut || 0));
    assert_eq!(health.state(), Doubtful);
    // One more failure is enough, one answer too.
    let mut other = health.clone();
    other.timed_out(&config, lapse);
    assert_eq!(other.state(), Down);
    health.answered(&config);
    assert_eq!(health.state(), Up);
}
