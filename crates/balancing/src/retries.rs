//! Which attempts are repeated at another backend.

use crate::budget::{Budget, BudgetConfig};
use crate::state::FailureKind;

/// How often and why requests are repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryConfig {
    /// Attempts of a request, the first one counted; 2 by default, 1: none is repeated.
    pub attempts: u32,
    /// Whether an attempt is repeated that found no connection; so by default.
    pub on_connect: bool,
    /// Whether one is whose connection ended before a response; so by default.
    pub on_reset: bool,
    /// Whether one is that was not answered in time; not by default: the client has waited long.
    pub on_timeout: bool,
    /// Whether one is whose response is none; not by default.
    pub on_malformed: bool,
    /// The statuses on which one is; none by default.
    pub on_statuses: Vec<u16>,
    /// Whether requests are repeated whose method is not idempotent, although a backend may have acted on them; not by
    /// default.
    pub any_method: bool,
    /// How long is waited before the second attempt, in nanoseconds, and twice as long before each further one; zero
    /// by default.
    pub backoff_ns: u64,
    /// The longest wait.
    pub max_backoff_ns: u64,
    /// What repetitions cost together.
    pub budget: BudgetConfig,
}

impl Default for RetryConfig {
    fn default() -> RetryConfig {
        RetryConfig {
            attempts: 2,
            on_connect: true,
            on_reset: true,
            on_timeout: false,
            on_malformed: false,
            on_statuses: Vec::new(),
            any_method: false,
            backoff_ns: 0,
            max_backoff_ns: 1_000_000_000,
            budget: BudgetConfig::default(),
        }
    }
}

/// An attempt that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailedAttempt<'a> {
    /// The request's method, as it was sent.
    pub method: &'a [u8],
    /// How it failed.
    pub failure: FailureKind,
    /// Attempts so far, this one counted.
    pub attempts: u32,
    /// Whether something of the request was sent.
    pub sent: bool,
    /// Whether all of its body that was read is there still, or it has none.
    pub has_body: bool,
    /// Whether the client has seen something of the response.
    pub responded: bool,
}

/// Retries of an engine to a pool.
#[derive(Clone, Debug)]
pub struct Retries {
    config: RetryConfig,
    budget: Budget,
}

impl Retries {
    /// Retries as configured, their budget beginning at `now`.
    pub fn new(config: RetryConfig, now: u64) -> Retries {
        let budget = Budget::new(config.budget, now);
        Retries { config, budget }
    }

    /// A client's request: the first attempt, not a repetition.
    pub fn request(&mut self, now: u64) {
        self.budget.request(now);
    }

    /// Whether an attempt is repeated, and if so, how many nanoseconds from now. Takes it out of the budget.
    pub fn again(&mut self, attempt: &FailedAttempt<'_>, now: u64) -> Option<u64> {
        let may = self.config.allows(attempt) && self.budget.spend(now);
        may.then(|| self.config.backoff(attempt.attempts))
    }
}

impl RetryConfig {
    /// Whether an attempt may be repeated, budget aside.
    pub fn allows(&self, attempt: &FailedAttempt<'_>) -> bool {
        let is_cause = match attempt.failure {
            FailureKind::Connect => self.on_connect,
            FailureKind::Reset => self.on_reset,
            FailureKind::Timeout => self.on_timeout,
            FailureKind::Malformed => self.on_malformed,
            FailureKind::Status(status) => self.on_statuses.contains(&status),
        };
        // RFC 9110 §9.2.2: a proxy must not repeat by itself what is not idempotent; what was not sent is not repeated.
        let is_harmless = !attempt.sent || self.any_method || is_idempotent(attempt.method);
        is_cause && is_harmless && attempt.has_body && !attempt.responded && attempt.attempts < self.attempts
    }

    fn backoff(&self, attempts: u32) -> u64 {
        let doublings = attempts.saturating_sub(1).min(63);
        self.backoff_ns.saturating_mul(1 << doublings).min(self.max_backoff_ns)
    }
}

/// Whether several requests of a method mean what one means (RFC 9110 §9.2.2).
pub fn is_idempotent(method: &[u8]) -> bool {
    is_safe(method) || matches!(method, b"PUT" | b"DELETE")
}

/// Whether a method only reads (RFC 9110 §9.2.1).
pub fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: FailedAttempt<'_> = FailedAttempt {
        method: b"GET",
        failure: FailureKind::Reset,
        attempts: 1,
        sent: true,
        has_body: true,
        responded: false,
    };

    #[test]
    fn what_may_be_repeated() {
        let config = RetryConfig { on_statuses: vec![502, 503], ..RetryConfig::default() };
        let cases = [
            (GET, true),
            (FailedAttempt { method: b"PUT", ..GET }, true),
            (FailedAttempt { method: b"POST", ..GET }, false),
            (FailedAttempt { method: b"get", ..GET }, false),
            (FailedAttempt { method: b"POST", sent: false, failure: FailureKind::Connect, ..GET }, true),
            (FailedAttempt { failure: FailureKind::Timeout, ..GET }, false),
            (FailedAttempt { failure: FailureKind::Malformed, ..GET }, false),
            (FailedAttempt { failure: FailureKind::Status(503), ..GET }, true),
            (FailedAttempt { failure: FailureKind::Status(500), ..GET }, false),
            (FailedAttempt { has_body: false, ..GET }, false),
            (FailedAttempt { responded: true, ..GET }, false),
            (FailedAttempt { attempts: 2, ..GET }, false),
        ];
        for (attempt, expected) in cases {
            assert_eq!(config.allows(&attempt), expected, "{attempt:?}");
        }
        let any = RetryConfig { any_method: true, ..config };
        assert!(any.allows(&FailedAttempt { method: b"POST", ..GET }));
    }

    #[test]
    fn a_wait_doubles_up_to_the_longest() {
        let config = RetryConfig { attempts: 100, backoff_ns: 10, max_backoff_ns: 35, ..RetryConfig::default() };
        let mut retries = Retries::new(config, 0);
        let waits: Vec<_> =
            [1, 2, 3, 90].iter().map(|&attempts| retries.again(&FailedAttempt { attempts, ..GET }, 0)).collect();
        assert_eq!(waits, [Some(10), Some(20), Some(35), Some(35)]);
    }

    #[test]
    fn repetitions_end_when_the_budget_does() {
        let budget = BudgetConfig { percent: 50, per_second: 2, burst: 10 };
        let mut retries = Retries::new(RetryConfig { budget, ..RetryConfig::default() }, 0);
        let mut repeated = |requests: u32, tries: u32, now| {
            (0..requests).for_each(|_| retries.request(now));
            (0..tries).filter(|_| retries.again(&GET, now).is_some()).count()
        };
        assert_eq!(repeated(0, 10, 0), 2, "what a second brings");
        assert_eq!(repeated(4, 10, 0), 2, "half of the requests");
        assert_eq!(repeated(0, 10, 1_500_000_000), 3, "two each second");
        assert_eq!(repeated(1000, 100, 1_500_000_000), 10, "no more is saved up");
        assert_eq!(repeated(0, 10, 0), 0, "a clock that goes back brings nothing");
    }
}
