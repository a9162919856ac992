//! What DNS counts on one engine.

use afpa_platform::steering::AnswersCounters;
use serde::Serialize;

use super::Latency;

/// What one engine counts of DNS.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Dns {
    /// Queries and answers by one property each.
    pub families: Vec<Family>,
    /// What happened with backends.
    pub backends: Vec<BackendEvents>,
    /// Octets of queries.
    pub query_octets: u64,
    /// Octets of answers.
    pub answer_octets: u64,
    /// How long queries took, from being read to the answer being handed over.
    pub latency: Latency,
}

/// Counts by one property.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Family {
    /// Its name in metrics.
    pub name: &'static str,
    /// What is counted.
    pub help: &'static str,
    /// The property.
    pub label: &'static str,
    /// Its values, and how many of each.
    pub counts: Vec<(&'static str, u64)>,
}

/// How often one thing happened with one backend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackendEvents {
    /// The backend's name.
    pub backend: String,
    /// What happened.
    pub event: &'static str,
    /// How often.
    pub count: u64,
}

impl From<afpa_dns::stats::Family> for Family {
    fn from(family: afpa_dns::stats::Family) -> Family {
        let afpa_dns::stats::Family { name, help, label, counts } = family;
        Family { name, help, label, counts }
    }
}

/// What the driver did with datagrams to services that answers are left for.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Driver {
    /// Answered, and why not: the reason, and how many.
    pub datagrams: Vec<(&'static str, u64)>,
    /// Octets of the answers.
    pub octets: u64,
}

impl From<AnswersCounters> for Driver {
    fn from(counters: AnswersCounters) -> Driver {
        let datagrams = vec![
            ("answered", counters.given),
            ("not read", counters.not_read),
            ("not left", counters.not_left),
            ("over", counters.over),
            ("of other size", counters.of_other_size),
            ("not for client", counters.not_for_client),
            ("too often", counters.too_often),
            ("no room", counters.no_room),
        ];
        Driver { datagrams, octets: counters.octets }
    }
}
