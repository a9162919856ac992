//! Whether a backend is asked: what checks and real questions say about it.

use std::time::Duration;

use afpa_engine::Time;

use crate::message::{Name, NameBuf, Type};

/// How the backends of a pool are checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthConfig {
    /// Whether checks are sent. Without them a backend that is down is tried again after `interval`.
    pub checks: bool,
    /// The name that checks ask for; `.` by default.
    pub name: NameBuf,
    /// The type that they ask for; NS by default.
    pub qtype: Type,
    /// The time between two checks, give or take a tenth; 5 s by default.
    pub interval: Duration,
    /// Failures in a row, failed checks and refusals of the network, until a backend is down; 3 by default.
    pub failures: u32,
    /// Real questions without an answer, in a row, until a backend is down; 10 by default. More than `failures`,
    /// because some questions find no answer whichever backend is asked.
    pub timeouts: u32,
    /// Passed checks in a row until a backend that was down is up; 1 by default.
    pub successes: u32,
}

impl Default for HealthConfig {
    fn default() -> HealthConfig {
        HealthConfig {
            checks: true,
            name: Name::ROOT.to_owned(),
            qtype: Type::NS,
            interval: Duration::from_secs(5),
            failures: 3,
            timeouts: 10,
            successes: 1,
        }
    }
}

/// What is thought of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthState {
    /// It answers.
    Up,
    /// It failed lately, not often enough to be down. It is asked, and checked sooner.
    Doubtful,
    /// It is asked only if no other can be.
    Down,
    /// It was down and passed a check, not often enough to be up.
    Recovering,
}

/// What was seen of a backend, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthEvent {
    /// An answer, or a passed check.
    Success,
    /// As many successes in a row as it takes.
    SuccessLimit,
    /// A failed check, a refusal or a timeout.
    Failure,
    /// As many failures in a row as it takes.
    FailureLimit,
    /// The backend was down for a whole interval, and nobody checks it.
    Lapse,
}

/// A change that an operator wants to know of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthChange {
    /// What it was.
    pub from: HealthState,
    /// What it is now.
    pub to: HealthState,
}

/// In the state, on the event, the next state: each pair has one row.
pub const TRANSITIONS: &[(HealthState, HealthEvent, HealthState)] = {
    use HealthEvent::{Failure, FailureLimit, Lapse, Success, SuccessLimit};
    use HealthState::{Doubtful, Down, Recovering, Up};
    &[
        (Up, Success, Up),
        (Up, SuccessLimit, Up),
        (Up, Failure, Doubtful),
        (Up, FailureLimit, Down),
        (Up, Lapse, Up),
        // One answer is proof enough that it lives.
        (Doubtful, Success, Up),
        (Doubtful, SuccessLimit, Up),
        (Doubtful, Failure, Doubtful),
        (Doubtful, FailureLimit, Down),
        (Doubtful, Lapse, Doubtful),
        (Down, Success, Recovering),
        (Down, SuccessLimit, Up),
        (Down, Failure, Down),
        (Down, FailureLimit, Down),
        (Down, Lapse, Doubtful),
        (Recovering, Success, Recovering),
        (Recovering, SuccessLimit, Up),
        (Recovering, Failure, Down),
        (Recovering, FailureLimit, Down),
        (Recovering, Lapse, Doubtful),
    ]
};

/// The least time between a failure that makes a check urgent and that check.
const URGENT: Duration = Duration::from_millis(500);

/// The health of one backend. Starts up, with a check due at once.
#[derive(Clone, Debug)]
pub struct Health {
    state: HealthState,
    /// Failed checks and refusals since the last success.
    failures: u32,
    /// Unanswered questions since the last success.
    timeouts: u32,
    /// Successes since the last failure.
    successes: u32,
    /// When the next check, or without checks the end of being down, is due.
    next: Time,
}

impl Health {
    /// A backend of which nothing is known.
    pub fn new() -> Health {
        Health { state: HealthState::Up, failures: 0, timeouts: 0, successes: 0, next: Time(0) }
    }

    /// What is thought of it.
    pub fn state(&self) -> HealthState {
        self.state
    }

    /// Whether it is asked like any other.
    pub fn is_usable(&self) -> bool {
        matches!(self.state, HealthState::Up | HealthState::Doubtful)
    }

    /// When [`Health::due`] has something to say.
    pub fn next(&self, config: &HealthConfig) -> Time {
        match config.checks || !self.is_usable() {
            true => self.next,
            false => Time::NEVER,
        }
    }

    /// Whether a check is to be sent now; if so, the next is due an interval later, give or take a tenth, so that
    /// engines and machines do not check in step. Its result goes to [`Health::passed`] or [`Health::failed`].
    pub fn due(&mut self, config: &HealthConfig, now: Time, random: &mut impl FnMut() -> u64) -> bool {
        if now < self.next(config) {
            return false;
        }
        self.next = now.after(jittered(config.interval, random()));
        if !config.checks {
            // One more failure ends the trial; the caller has nothing to send.
            self.failures = config.failures.saturating_sub(1);
            self.timeouts = config.timeouts.saturating_sub(1);
            self.step(HealthEvent::Lapse);
        }
        config.checks
    }

    /// A check was passed.
    pub fn passed(&mut self, config: &HealthConfig) -> Option<HealthChange> {
        self.success(config)
    }

    /// A check failed: no answer, or one that says that the backend cannot answer.
    pub fn failed(&mut self, config: &HealthConfig, now: Time) -> Option<HealthChange> {
        self.failures = self.failures.saturating_add(1);
        self.failure(config, now)
    }

    /// A real question was answered. A backend that is down must pass checks all the same: what arrives may have
    /// been under way for long.
    pub fn answered(&mut self, config: &HealthConfig) -> Option<HealthChange> {
        match self.is_usable() || !config.checks {
            true => self.success(config),
            false => None,
        }
    }

    /// A real question was not answered in time.
    pub fn timed_out(&mut self, config: &HealthConfig, now: Time) -> Option<HealthChange> {
        self.timeouts = self.timeouts.saturating_add(1);
        self.failure(config, now)
    }

    /// The network says that nobody is there: a port unreachable, a reset.
    pub fn refused(&mut self, config: &HealthConfig, now: Time) -> Option<HealthChange> {
        self.failed(config, now)
    }

    fn success(&mut self, config: &HealthConfig) -> Option<HealthChange> {
        (self.failures, self.timeouts) = (0, 0);
        self.successes = self.successes.saturating_add(1);
        self.step(match self.successes >= config.successes {
            true => HealthEvent::SuccessLimit,
            false => HealthEvent::Success,
        })
    }

    fn failure(&mut self, config: &HealthConfig, now: Time) -> Option<HealthChange> {
        self.successes = 0;
        let change = self.step(match self.failures >= config.failures || self.timeouts >= config.timeouts {
            true => HealthEvent::FailureLimit,
            false => HealthEvent::Failure,
        });
        if config.checks {
            if self.state == HealthState::Doubtful {
                self.next = self.next.min(now.after(URGENT));
            }
        } else if change.is_some_and(|change| change.to == HealthState::Down) {
            self.next = now.after(config.interval);
        }
        change
    }

    fn step(&mut self, event: HealthEvent) -> Option<HealthChange> {
        let from = self.state;
        self.state = next_state(from, event);
        (self.state != from).then_some(HealthChange { from, to: self.state })
    }
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

fn next_state(state: HealthState, event: HealthEvent) -> HealthState {
    let row = TRANSITIONS.iter().find(|(from, on, _)| *from == state && *on == event);
    // A test sees that each pair has its row.
    row.map_or(state, |(_, _, to)| *to)
}

/// `interval` ± a tenth.
fn jittered(interval: Duration, random: u64) -> Duration {
    let nanos = interval.as_nanos() as u64;
    let spread = nanos / 5;
    Duration::from_nanos(nanos - nanos / 10 + random.checked_rem(spread).unwrap_or(0))
}
