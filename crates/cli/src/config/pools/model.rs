//! The model and its defaults.

use std::fmt;
use std::str::FromStr;

use super::BackendAddress;
use crate::config::words::words;
use crate::units::{Malformed, Span};

/// Backends that answer the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// The backends.
    pub backends: Vec<Backend>,
    /// How one is chosen.
    pub balance: Balance,
    /// By what, where requests that are alike are to go to the same one.
    pub hash_on: HashOn,
    /// A backend gets no more than so many percent of the average, hash or not; 0: as much as comes.
    pub bounded_load: u32,
    /// How often names of backends are resolved again.
    pub resolve: Span,
    /// The most connections to one backend from each engine.
    pub connections: u32,
    /// The most of them that wait for work.
    pub idle_connections: u32,
    /// How long one waits for work.
    pub idle_timeout: Span,
    /// A connection is closed after so many requests; 0: never for that reason.
    pub requests_per_connection: u32,
    /// The most requests of each engine that wait for a connection: 503 beyond it.
    pub pending: u32,
    /// How backends are told of a client's address, before anything else on a connection.
    pub proxy_protocol: ProxyProtocol,
    /// How long a connection may be silent before TCP asks whether the other end is there; zero: never.
    pub tcp_keep_alive: Span,
    /// How backends are asked whether they are well; they are not if absent.
    pub health: Option<Health>,
    /// When a backend is left alone because of how it answers.
    pub ejection: Ejection,
    /// How long a backend that comes back gets less than its share; zero: it gets it at once.
    pub slow_start: Span,
    /// When a request is tried again.
    pub retry: Retry,
    /// When a second backend is asked beside one that is slow; never if absent.
    pub hedge: Option<Hedge>,
    /// Whether a client stays with its backend; not if absent.
    pub sticky: Option<Sticky>,
}

impl Pool {
    /// The pool `name` without a backend, with every default.
    pub fn named(name: &str) -> Pool {
        Pool {
            name: name.to_owned(),
            backends: Vec::new(),
            balance: Balance::TwoChoices,
            hash_on: HashOn::Url,
            bounded_load: 125,
            resolve: Span::seconds(30),
            connections: 256,
            idle_connections: 64,
            idle_timeout: Span::seconds(60),
            requests_per_connection: 0,
            pending: 8192,
            proxy_protocol: ProxyProtocol::Off,
            tcp_keep_alive: Span::seconds(60),
            health: None,
            ejection: Ejection::default(),
            slow_start: Span::seconds(0),
            retry: Retry::default(),
            hedge: None,
            sticky: None,
        }
    }
}

/// A server that answers requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Where it is.
    pub address: BackendAddress,
    /// Its share: 0 to 1000. With 0 it gets nothing.
    pub weight: u32,
    /// Whether it gets only what already belongs to it.
    pub draining: bool,
}

impl Backend {
    /// The server at `address`, with every default.
    pub fn at(address: BackendAddress) -> Backend {
        Backend { address, weight: 1, draining: false }
    }
}

words! {
    /// How a backend is chosen.
    Balance: "round-robin, weighted, least-requests, two-choices, hash or locality" {
        /// In turn.
        RoundRobin = "round-robin",
        /// In turn, by weight.
        Weighted = "weighted",
        /// The one with the fewest requests for its weight.
        LeastRequests = "least-requests",
        /// The better of two that are drawn.
        TwoChoices = "two-choices",
        /// By what [`HashOn`] says.
        Hash = "hash",
        /// The one that had the last request that was alike, unless it has much more to do than others: backends' own
        /// caches then do not repeat each other (Pai et al., *Locality-Aware Request Distribution*, 1998).
        Locality = "locality",
    }
}

words! {
    /// How backends are told of a client's address.
    ProxyProtocol: "off, v1 or v2" {
        /// They are not.
        Off = "off",
        /// In text.
        V1 = "v1",
        /// In octets.
        V2 = "v2",
    }
}

words! {
    /// What another try can help against.
    RetryOn: "connect, reset, timeout, 502, 503 or 504" {
        /// No connection came about.
        Connect = "connect",
        /// The connection ended before any octet of the response.
        Reset = "reset",
        /// There was no response in time.
        Timeout = "timeout",
        /// The backend had a bad gateway.
        Status502 = "502",
        /// The backend was unavailable.
        Status503 = "503",
        /// The backend waited for its own in vain.
        Status504 = "504",
    }
}

words! {
    /// Whether a cookie is sent with what other sites ask for.
    SameSite: "lax, strict or none" {
        /// When their links are followed.
        Lax = "lax",
        /// Never.
        Strict = "strict",
        /// Always.
        None = "none",
    }
}

/// What makes requests alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// Host, path and query: `url`.
    Url,
    /// The client's address: `client`.
    Client,
    /// A header field, in lower case: `header:NAME`.
    Header(String),
    /// A cookie: `cookie:NAME`.
    Cookie(String),
}

impl FromStr for HashOn {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<HashOn, Malformed> {
        match text.split_once(':') {
            None if text == "url" => Ok(HashOn::Url),
            None if text == "client" => Ok(HashOn::Client),
            Some(("header", name)) if is_token(name) => Ok(HashOn::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) if is_token(name) => Ok(HashOn::Cookie(name.to_owned())),
            _ => Err(Malformed::new("url, client, header:NAME or cookie:NAME", text)),
        }
    }
}

impl fmt::Display for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashOn::Url => f.write_str("url"),
            HashOn::Client => f.write_str("client"),
            HashOn::Header(name) => write!(f, "header:{name}"),
            HashOn::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// RFC 9110 §5.6.2.
pub(in crate::config) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet))
}

/// How backends are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The path, and a query.
    pub path: String,
    /// The Host field; the backend's own name or address if absent.
    pub host: Option<String>,
    /// How often.
    pub interval: Span,
    /// How long an answer may take.
    pub timeout: Span,
    /// So many good answers in a row, and it is well: 1 to 100.
    pub rise: u32,
    /// So many bad ones, and it is not: 1 to 100.
    pub fall: u32,
    /// Which answers are good.
    pub expect: Vec<StatusRange>,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            path: "/".into(),
            host: None,
            interval: Span::seconds(5),
            timeout: Span::seconds(2),
            rise: 2,
            fall: 3,
            expect: vec![StatusRange { first: 200, last: 399 }],
        }
    }
}

/// Some statuses: `200` or `200-399`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl FromStr for StatusRange {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<StatusRange, Malformed> {
        let status = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|octet| octet.is_ascii_digit());
            text.parse().ok().filter(|status| digits && (100..=599).contains(status))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match status(first).zip(status(last)) {
            Some((first, last)) if first <= last => Ok(StatusRange { first, last }),
            _ => Err(Malformed::new("statuses such as 200 or 200-399", text)),
        }
    }
}

/// When a backend is left alone because of how it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// After so many failures in a row; 0: not for that reason.
    pub failures: u32,
    /// When it takes so many percent of what the others take; 0: not for that reason.
    pub latency: u32,
    /// For how long, the first time; longer each time after.
    pub time: Span,
    /// The most of a pool's backends that are left alone, in percent.
    pub most: u32,
}

impl Default for Ejection {
    fn default() -> Ejection {
        Ejection { failures: 5, latency: 0, time: Span::seconds(30), most: 50 }
    }
}

/// When a request is tried again. Only what may be repeated is (RFC 9110 §9.2.2), unless it never arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How often it is tried, with the first time: 1 to 10.
    pub attempts: u32,
    /// Tries beyond the first are at most so many percent of all requests.
    pub budget: u32,
    /// Against what.
    pub on: Vec<RetryOn>,
    /// How long the head of a response may take, each time; zero: as long as timeouts say.
    pub try_timeout: Span,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { attempts: 2, budget: 20, on: vec![RetryOn::Connect, RetryOn::Reset], try_timeout: Span::seconds(0) }
    }
}

/// When a second backend is asked beside one that is slow. Only for GET and HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// After how long.
    pub after: HedgeAfter,
    /// Second questions are at most so many percent of all requests.
    pub budget: u32,
}

/// How long is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// This long.
    Span(Span),
    /// Longer than so many percent of all answers took: `p95`.
    Percentile(u32),
}

impl FromStr for HedgeAfter {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<HedgeAfter, Malformed> {
        let malformed = || Malformed::new("a duration such as 50ms, or p50 to p99", text);
        match text.strip_prefix('p') {
            Some(percent) => {
                let percent = percent.parse().ok().filter(|percent| (50..=99).contains(percent));
                percent.map(HedgeAfter::Percentile).ok_or_else(malformed)
            }
            None => text.parse().map(HedgeAfter::Span).map_err(|_| malformed()),
        }
    }
}

/// A cookie that keeps a client with its backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: String,
    /// Its Path attribute.
    pub path: String,
    /// Its Max-Age attribute; zero: none, so that it ends with the browser.
    pub max_age: Span,
    /// Whether it is sent over TLS only.
    pub secure: bool,
    /// Whether scripts cannot see it.
    pub http_only: bool,
    /// Its SameSite attribute.
    pub same_site: SameSite,
}

impl Default for Sticky {
    fn default() -> Sticky {
        Sticky {
            cookie: "afpa-backend".into(),
            path: "/".into(),
            max_age: Span::seconds(0),
            secure: false,
            http_only: true,
            same_site: SameSite::Lax,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_they_are_shown_or_refused() {
        for text in ["url", "client", "header:x-user", "cookie:Session"] {
            assert_eq!(text.parse::<HashOn>().unwrap().to_string(), text);
        }
        assert_eq!("header:X-User".parse(), Ok(HashOn::Header("x-user".into())));
        for text in ["", "URL", "header", "header:", "cookie:a b", "ip"] {
            assert!(text.parse::<HashOn>().is_err(), "{text}");
        }
        assert_eq!("200-399".parse(), Ok(StatusRange { first: 200, last: 399 }));
        assert_eq!("204".parse(), Ok(StatusRange { first: 204, last: 204 }));
        for text in ["", "2xx", "99", "600", "300-200", "200-", "+20"] {
            assert!(text.parse::<StatusRange>().is_err(), "{text}");
        }
        assert_eq!("p95".parse(), Ok(HedgeAfter::Percentile(95)));
        assert_eq!("50ms".parse(), Ok(HedgeAfter::Span(Span::milliseconds(50))));
        for text in ["", "p", "p100", "p49", "50"] {
            assert!(text.parse::<HedgeAfter>().is_err(), "{text}");
        }
    }
}
