//! One server that is asked, and what is known of it.

use std::net::SocketAddr;
use std::time::Duration;

use afpa_engine::Time;

use super::cookie::Cookies;
use super::expected::{Expected, Matched, Mismatch, Verdict};
use super::health::{Health, HealthState};

/// A server of a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendConfig {
    /// Its name in logs and metrics; unique in its pool.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it is asked over TCP only.
    pub tcp: bool,
    /// Its share, compared with the others' of the pool: 1 to 65,535; 1 by default.
    pub weight: u32,
    /// Whether each datagram and connection to it starts with a PROXY protocol header, version 2.
    pub proxy_protocol: bool,
}

impl BackendConfig {
    /// A backend at `address` with everything else as by default, named after its address.
    pub fn new(address: SocketAddr) -> BackendConfig {
        BackendConfig { name: address.to_string(), address, tcp: false, weight: 1, proxy_protocol: false }
    }
}

/// What a backend was asked and did, since the start; checks aside where they are not named.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BackendCounters {
    /// Questions without an end so far.
    pub outstanding: u32,
    /// Questions sent.
    pub queries: u64,
    /// Of these, over TCP.
    pub tcp: u64,
    /// Answers that matched, whatever they said.
    pub answers: u64,
    /// Of these, such as did not answer the question: SERVFAIL, REFUSED and the like.
    pub failures: u64,
    /// Of these, truncated.
    pub truncated: u64,
    /// Of these, BADCOOKIE.
    pub bad_cookies: u64,
    /// Of these, such as do not understand EDNS.
    pub without_edns: u64,
    /// Questions that were not answered in time.
    pub timeouts: u64,
    /// Questions that the network returned.
    pub refusals: u64,
    /// Messages that did not match a question, and were discarded.
    pub mismatches: u64,
    /// Of these, such as changed the question's letter case and nothing else.
    pub case_changes: u64,
    /// Checks passed.
    pub checks_passed: u64,
    /// Checks failed.
    pub checks_failed: u64,
    /// Times that it went down.
    pub downs: u64,
}

/// How a question to a backend ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With an answer that matched, this long after it was sent.
    Answered(Verdict, Duration),
    /// It was not answered in time.
    TimedOut,
    /// The network returned it: a port unreachable, a reset.
    Refused,
    /// We no longer wait, for a reason that is not the backend's.
    Abandoned,
}

/// What an operator wants to know of a backend beside its health.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackendNotice {
    /// It does not keep the letter case of questions: for an hour it gets them in lower case.
    LetterCaseIgnored,
    /// It does not understand EDNS: for ten minutes it is asked without.
    WithoutEdns,
}

/// Answers in a row that changed the letter case and nothing else, until a backend is not tried with it.
pub const CASE_CHANGES: u32 = 5;
/// How long a backend then gets lower case.
const LOWER_CASE: Duration = Duration::from_secs(3600);
/// How long it is remembered that a backend does not understand EDNS (RFC 6891 §6.2.2).
const PLAIN: Duration = Duration::from_secs(600);

/// A backend.
#[derive(Clone, Debug)]
pub struct Backend {
    config: BackendConfig,
    pub(crate) health: Health,
    pub(crate) counters: BackendCounters,
    latency: Duration,
    cookies: Cookies,
    plain_until: Time,
    lower_case_until: Time,
    case_changes: u32,
    /// Its standing in the weighted round.
    pub(crate) standing: i64,
    /// Its own part of the hash that places names.
    pub(crate) place: u64,
}

impl Backend {
    pub(crate) fn new(config: BackendConfig, place: u64, random: u64) -> Backend {
        Backend {
            config,
            health: Health::new(),
            counters: BackendCounters::default(),
            latency: Duration::ZERO,
            cookies: Cookies::new(random),
            plain_until: Time(0),
            lower_case_until: Time(0),
            case_changes: 0,
            standing: 0,
            place,
        }
    }

    /// How it was configured.
    pub fn config(&self) -> &BackendConfig {
        &self.config
    }

    /// What is thought of it.
    pub fn state(&self) -> HealthState {
        self.health.state()
    }

    /// What it was asked and did.
    pub fn counters(&self) -> BackendCounters {
        self.counters
    }

    /// The smoothed time until it answers; zero before it ever did.
    pub fn latency(&self) -> Duration {
        self.latency
    }

    /// Whether questions to it carry EDNS.
    pub fn takes_edns(&self, now: Time) -> bool {
        now >= self.plain_until
    }

    /// Whether it keeps the letter case of questions, as far as is known.
    pub fn keeps_case(&self, now: Time) -> bool {
        now >= self.lower_case_until
    }

    pub(crate) fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    /// Remembers what an answer that matched tells about the backend.
    pub fn learn(&mut self, expected: &Expected, matched: &Matched<'_>, now: Time) -> Option<BackendNotice> {
        if expected.has_mixed_case() {
            self.case_changes = 0;
        }
        if matched.server_cookie.is_some() || expected.is_over_tcp() && matched.has_edns {
            self.cookies.set_server(matched.server_cookie);
        }
        if matched.verdict != Verdict::WithoutEdns || !self.takes_edns(now) {
            return None;
        }
        self.plain_until = now.after(PLAIN);
        self.cookies.set_server(None);
        Some(BackendNotice::WithoutEdns)
    }

    /// Counts a message that did not match.
    pub fn mismatched(&mut self, mismatch: Mismatch, now: Time) -> Option<BackendNotice> {
        self.counters.mismatches += 1;
        if mismatch != Mismatch::LetterCase {
            return None;
        }
        self.counters.case_changes += 1;
        self.case_changes += 1;
        if self.case_changes < CASE_CHANGES || !self.keeps_case(now) {
            return None;
        }
        self.case_changes = 0;
        self.lower_case_until = now.after(LOWER_CASE);
        Some(BackendNotice::LetterCaseIgnored)
    }

    pub(crate) fn began(&mut self, tcp: bool) {
        self.counters.outstanding += 1;
        self.counters.queries += 1;
        self.counters.tcp += u64::from(tcp);
    }

    pub(crate) fn ended(&mut self, end: End) {
        let counters = &mut self.counters;
        counters.outstanding = counters.outstanding.saturating_sub(1);
        match end {
            End::Answered(verdict, latency) => {
                counters.answers += 1;
                match verdict {
                    Verdict::Answer => {}
                    Verdict::Truncated => counters.truncated += 1,
                    Verdict::WithoutEdns => counters.without_edns += 1,
                    Verdict::BadCookie => counters.bad_cookies += 1,
                    Verdict::Failed(_) => counters.failures += 1,
                }
                self.smooth(latency);
            }
            End::TimedOut => counters.timeouts += 1,
            End::Refused => counters.refusals += 1,
            End::Abandoned => {}
        }
    }

    /// As RFC 6298 §2 smooths a round trip: an eighth of each new one.
    fn smooth(&mut self, latency: Duration) {
        self.latency = match self.latency {
            Duration::ZERO => latency,
            known => known - known / 8 + latency / 8,
        };
    }

    /// Takes over what is known of the same server from before a reload.
    pub(crate) fn adopt(&mut self, old: &Backend) {
        let outstanding = 0;
        *self = Backend {
            config: self.config.clone(),
            place: self.place,
            standing: 0,
            counters: BackendCounters { outstanding, ..old.counters },
            ..old.clone()
        };
    }
}
