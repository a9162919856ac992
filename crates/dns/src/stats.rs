//! What the DNS module counts on one engine.

use afpa_engine::stats::Counter;

use crate::message::{FormError, Rcode, Type};
use crate::protect::{CookieStatus, InvalidCookie};
use crate::query_log::{Outcome, Protocol};

/// One writer: the engine. Read by anyone. Aligned so that two engines share no cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct DnsStats {
    by_type: [Counter; TYPES.len() + 1],
    by_rcode: [Counter; RCODES.len() + 1],
    by_protocol: [Counter; Protocol::ALL.len()],
    by_outcome: [Counter; Outcome::ALL.len()],
    by_restraint: [Counter; Restraint::ALL.len()],
    by_form_error: [Counter; FORM_ERRORS.len()],
    by_cookie: [Counter; COOKIES.len()],
    backends: Box<[BackendStats]>,
    /// Octets of queries.
    pub query_octets: Counter,
    /// Octets of answers.
    pub answer_octets: Counter,
    /// Queries that wait for a backend: a gauge.
    pub waiting: Counter,
}

/// Aligned as [`DnsStats`] is, from which it lies apart.
#[derive(Debug, Default)]
#[repr(align(128))]
struct BackendStats([Counter; BackendEvent::ALL.len()]);

/// Why a query was not answered as it would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Restraint {
    /// Refused: the client's address may not ask.
    Access = 0,
    /// Refused: of no zone that is served, and nothing is forwarded for it.
    NotServed = 1,
    /// Refused: the name or the type is forbidden.
    Forbidden = 2,
    /// Limited: the client asks more than it may.
    ClientRate = 3,
    /// Response rate limiting: sent truncated.
    ResponseTruncated = 4,
    /// Response rate limiting: not sent.
    ResponseDropped = 5,
    /// Dropped: too many queries wait already.
    TooManyWaiting = 6,
    /// Dropped: shorter than a header, or a response.
    NoQuery = 7,
    /// Dropped: the transport took no more.
    NotSent = 8,
}

impl Restraint {
    /// Every one, each at its number.
    pub const ALL: [Restraint; 9] = [
        Restraint::Access,
        Restraint::NotServed,
        Restraint::Forbidden,
        Restraint::ClientRate,
        Restraint::ResponseTruncated,
        Restraint::ResponseDropped,
        Restraint::TooManyWaiting,
        Restraint::NoQuery,
        Restraint::NotSent,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Restraint::Access => "access",
            Restraint::NotServed => "not_served",
            Restraint::Forbidden => "forbidden",
            Restraint::ClientRate => "client_rate",
            Restraint::ResponseTruncated => "response_truncated",
            Restraint::ResponseDropped => "response_dropped",
            Restraint::TooManyWaiting => "too_many_waiting",
            Restraint::NoQuery => "no_query",
            Restraint::NotSent => "not_sent",
        }
    }
}

/// What happens with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BackendEvent {
    /// A question was sent.
    Asked = 0,
    /// An answer came that is good.
    Answered = 1,
    /// No answer came in time.
    TimedOut = 2,
    /// It answered that it failed or does not want to.
    Failed = 3,
    /// Something came that does not match the question: a mistake, or a forgery.
    Mismatched = 4,
    /// The answer was truncated: asked again over TCP.
    Truncated = 5,
    /// It could not be reached.
    Unreachable = 6,
    /// It was taken out of the choice.
    Down = 7,
    /// It came back into the choice.
    Up = 8,
}

impl BackendEvent {
    /// Every one, each at its number.
    pub const ALL: [BackendEvent; 9] = [
        BackendEvent::Asked,
        BackendEvent::Answered,
        BackendEvent::TimedOut,
        BackendEvent::Failed,
        BackendEvent::Mismatched,
        BackendEvent::Truncated,
        BackendEvent::Unreachable,
        BackendEvent::Down,
        BackendEvent::Up,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            BackendEvent::Asked => "asked",
            BackendEvent::Answered => "answered",
            BackendEvent::TimedOut => "timed_out",
            BackendEvent::Failed => "failed",
            BackendEvent::Mismatched => "mismatched",
            BackendEvent::Truncated => "truncated",
            BackendEvent::Unreachable => "unreachable",
            BackendEvent::Down => "down",
            BackendEvent::Up => "up",
        }
    }
}

/// Counts of one kind, as a page of metrics shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, without a prefix.
    pub name: &'static str,
    /// What is counted.
    pub help: &'static str,
    /// What the label tells.
    pub label: &'static str,
    /// The label's values and their counts: the same values in the same order on every engine, zeros included.
    pub counts: Vec<(&'static str, u64)>,
}

impl DnsStats {
    /// All zero, for `backends` backends.
    pub fn new(backends: usize) -> DnsStats {
        DnsStats {
            by_type: Default::default(),
            by_rcode: Default::default(),
            by_protocol: Default::default(),
            by_outcome: Default::default(),
            by_restraint: Default::default(),
            by_form_error: Default::default(),
            by_cookie: Default::default(),
            backends: (0..backends).map(|_| Default::default()).collect(),
            query_octets: Counter::default(),
            answer_octets: Counter::default(),
            waiting: Counter::default(),
        }
    }

    /// Counts a query that came. `qtype` is `None` if it asks nothing that could be read.
    #[inline]
    pub fn asked(&self, protocol: Protocol, qtype: Option<Type>, cookie: &CookieStatus, octets: usize) {
        self.by_protocol[protocol as usize].increment();
        if let Some(qtype) = qtype {
            self.by_type[type_index(qtype)].increment();
        }
        self.by_cookie[cookie_index(cookie)].increment();
        self.query_octets.add(octets as u64);
    }

    /// Counts what became of a query. `rcode` and `octets` are those of the answer; `None` and zero if none was sent.
    #[inline]
    pub fn ended(&self, outcome: Outcome, rcode: Option<Rcode>, octets: usize) {
        self.by_outcome[outcome as usize].increment();
        if let Some(rcode) = rcode {
            self.by_rcode[rcode_index(rcode)].increment();
        }
        self.answer_octets.add(octets as u64);
    }

    /// Counts why a query was not answered as it would have been.
    #[inline]
    pub fn restrained(&self, restraint: Restraint) {
        self.by_restraint[restraint as usize].increment();
    }

    /// Counts a query that could not be read.
    #[inline]
    pub fn malformed(&self, error: FormError) {
        self.by_form_error[form_error_index(error)].increment();
    }

    /// Counts what happened with the backend of this number. One beyond the number of backends is not counted.
    #[inline]
    pub fn backend(&self, backend: usize, event: BackendEvent) {
        if let Some(BackendStats(counters)) = self.backends.get(backend) {
            counters[event as usize].increment();
        }
    }

    /// Everything with a label, except what concerns backends.
    pub fn families(&self) -> [Family; 7] {
        let other = std::iter::once("other");
        let types = TYPES.iter().map(|qtype| qtype.mnemonic().unwrap_or("other")).chain(other.clone());
        let rcodes = RCODES.iter().map(|rcode| rcode.mnemonic().unwrap_or("other")).chain(other);
        let protocols = Protocol::ALL.into_iter().map(Protocol::name);
        let outcomes = Outcome::ALL.into_iter().map(Outcome::name);
        let restraints = Restraint::ALL.into_iter().map(Restraint::name);
        let form_errors = FORM_ERRORS.into_iter().map(|(_, name)| name);
        [
            family("dns_queries", "Queries by how they came", "protocol", protocols, &self.by_protocol),
            family("dns_questions", "Questions by type", "type", types, &self.by_type),
            family("dns_cookies", "Queries by what their cookie was worth", "cookie", COOKIES, &self.by_cookie),
            family("dns_outcomes", "Queries by what became of them", "outcome", outcomes, &self.by_outcome),
            family("dns_answers", "Answers by response code", "rcode", rcodes, &self.by_rcode),
            family("dns_restraints", "Queries held back, by why", "reason", restraints, &self.by_restraint),
            family("dns_malformed", "Queries that cannot be read", "error", form_errors, &self.by_form_error),
        ]
    }

    /// Each backend's number, with what happened how often.
    pub fn backends(&self) -> impl Iterator<Item = (usize, BackendEvent, u64)> + '_ {
        self.backends.iter().enumerate().flat_map(|(backend, BackendStats(counters))| {
            BackendEvent::ALL.into_iter().map(move |event| (backend, event, counters[event as usize].get()))
        })
    }
}

/// The types that are counted on their own: what clients ask for, and what abuse is made of.
const TYPES: [Type; 21] = [
    Type::A,
    Type::AAAA,
    Type::HTTPS,
    Type::PTR,
    Type::MX,
    Type::TXT,
    Type::NS,
    Type::SOA,
    Type::CNAME,
    Type::SRV,
    Type::SVCB,
    Type::DS,
    Type::DNSKEY,
    Type::CAA,
    Type::NAPTR,
    Type::TLSA,
    Type::NSEC,
    Type::RRSIG,
    Type::ANY,
    Type::AXFR,
    Type::IXFR,
];

/// The response codes that are counted on their own.
const RCODES: [Rcode; 10] = [
    Rcode::NOERROR,
    Rcode::FORMERR,
    Rcode::SERVFAIL,
    Rcode::NXDOMAIN,
    Rcode::NOTIMP,
    Rcode::REFUSED,
    Rcode::YXDOMAIN,
    Rcode::NOTAUTH,
    Rcode::BADVERS,
    Rcode::BADCOOKIE,
];

const FORM_ERRORS: [(FormError, &str); 9] = [
    (FormError::Short, "short"),
    (FormError::LabelType, "label_type"),
    (FormError::Pointer, "pointer"),
    (FormError::LongName, "long_name"),
    (FormError::Questions, "questions"),
    (FormError::Records, "records"),
    (FormError::Opt, "opt"),
    (FormError::OptionLength, "option_length"),
    (FormError::Trailing, "trailing"),
];

const COOKIES: [&str; 8] =
    ["absent", "malformed", "client_only", "valid", "bad_form", "expired", "from_the_future", "bad_hash"];

fn family(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: impl IntoIterator<Item = &'static str>,
    counters: &[Counter],
) -> Family {
    Family { name, help, label, counts: values.into_iter().zip(counters.iter().map(Counter::get)).collect() }
}

/// The place in [`TYPES`], or behind it.
fn type_index(qtype: Type) -> usize {
    TYPES.iter().position(|known| *known == qtype).unwrap_or(TYPES.len())
}

/// The place in [`RCODES`], or behind it.
fn rcode_index(rcode: Rcode) -> usize {
    RCODES.iter().position(|known| *known == rcode).unwrap_or(RCODES.len())
}

/// The place in [`FORM_ERRORS`].
const fn form_error_index(error: FormError) -> usize {
    error as usize
}

/// The place in [`COOKIES`].
const fn cookie_index(cookie: &CookieStatus) -> usize {
    match cookie {
        CookieStatus::Absent => 0,
        CookieStatus::Malformed => 1,
        CookieStatus::ClientOnly(_) => 2,
        CookieStatus::Valid { .. } => 3,
        CookieStatus::Invalid(_, InvalidCookie::Form) => 4,
        CookieStatus::Invalid(_, InvalidCookie::Expired) => 5,
        CookieStatus::Invalid(_, InvalidCookie::Future) => 6,
        CookieStatus::Invalid(_, InvalidCookie::Hash) => 7,
    }
}

const _: () = {
    let mut index = 0;
    while index < FORM_ERRORS.len() {
        assert!(form_error_index(FORM_ERRORS[index].0) == index, "each error stands at its number");
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(stats: &DnsStats) -> Vec<(&'static str, &'static str, u64)> {
        let of = |family: Family| family.counts.into_iter().map(move |(value, count)| (family.name, value, count));
        stats.families().into_iter().flat_map(of).filter(|&(.., count)| count > 0).collect()
    }

    #[test]
    fn what_is_counted_is_told_under_its_name() {
        let stats = DnsStats::new(2);
        assert_eq!(counted(&stats), []);
        stats.asked(Protocol::Udp, Some(Type::AAAA), &CookieStatus::Absent, 40);
        stats.asked(Protocol::Tcp, Some(Type(65280)), &CookieStatus::ClientOnly([0; 8]), 60);
        stats.asked(Protocol::Udp, None, &CookieStatus::Invalid([0; 8], InvalidCookie::Hash), 12);
        stats.ended(Outcome::Hit, Some(Rcode::NOERROR), 100);
        stats.ended(Outcome::Refused, Some(Rcode(11)), 12);
        stats.ended(Outcome::Dropped, None, 0);
        stats.restrained(Restraint::ResponseDropped);
        stats.malformed(FormError::Trailing);
        assert_eq!(
            counted(&stats),
            [
                ("dns_queries", "udp", 2),
                ("dns_queries", "tcp", 1),
                ("dns_questions", "AAAA", 1),
                ("dns_questions", "other", 1),
                ("dns_cookies", "absent", 1),
                ("dns_cookies", "client_only", 1),
                ("dns_cookies", "bad_hash", 1),
                ("dns_outcomes", "hit", 1),
                ("dns_outcomes", "refused", 1),
                ("dns_outcomes", "dropped", 1),
                ("dns_answers", "NOERROR", 1),
                ("dns_answers", "other", 1),
                ("dns_restraints", "response_dropped", 1),
                ("dns_malformed", "trailing", 1),
            ]
        );
        assert_eq!((stats.query_octets.get(), stats.answer_octets.get()), (112, 112));
    }

    #[test]
    fn backends_are_counted_apart_and_unknown_ones_not_at_all() {
        let stats = DnsStats::new(2);
        stats.backend(0, BackendEvent::Asked);
        stats.backend(1, BackendEvent::Mismatched);
        stats.backend(2, BackendEvent::Asked);
        let events: Vec<_> = stats.backends().filter(|&(.., count)| count > 0).collect();
        assert_eq!(events, [(0, BackendEvent::Asked, 1), (1, BackendEvent::Mismatched, 1)]);
    }

    #[test]
    fn every_value_has_a_name_of_its_own_and_every_type_its_counter() {
        let stats = DnsStats::new(0);
        for family in stats.families() {
            let mut values: Vec<_> = family.counts.iter().map(|(value, _)| *value).collect();
            let count = values.len();
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), count, "{}", family.name);
        }
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number);
        }
        for (number, restraint) in Restraint::ALL.into_iter().enumerate() {
            assert_eq!(restraint as usize, number);
        }
        for (number, event) in BackendEvent::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, number);
        }
    }
}
