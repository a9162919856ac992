//! What DNS servers are asked for.

use clap::ValueEnum;

/// A way to load a server, in the order in which they are run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub(super) enum Scenario {
    /// Answers that a forwarder keeps, over UDP
    Cached,
    /// Answers that a forwarder keeps, over pipelined TCP
    CachedTcp,
    /// Answers that a forwarder keeps, over UDP, from a client on frames that asks for more than the server can do
    CachedSaturated,
    /// Answers from a zone, over UDP
    Authoritative,
    /// Answers from a zone, over UDP, from a client on frames that asks for more than the server can do
    AuthoritativeSaturated,
}

/// What a server is while it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// It forwards to a backend and keeps the answers.
    Cache,
    /// It has the zone.
    Authority,
}

impl Scenario {
    /// All, in the order in which they are run.
    pub(super) fn all() -> &'static [Scenario] {
        Self::value_variants()
    }

    /// Its name in options and figures.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What it does, in a line.
    pub(super) fn title(self) -> String {
        self.to_possible_value().and_then(|value| Some(value.get_help()?.to_string())).unwrap_or_default()
    }

    /// What a server must be for it.
    pub(super) fn role(self) -> Role {
        match self {
            Scenario::Cached | Scenario::CachedTcp | Scenario::CachedSaturated => Role::Cache,
            Scenario::Authoritative | Scenario::AuthoritativeSaturated => Role::Authority,
        }
    }

    /// Whether the questions come over TCP.
    pub(super) fn is_tcp(self) -> bool {
        self == Scenario::CachedTcp
    }

    /// Whether the client does not wait for answers.
    pub(super) fn saturates(self) -> bool {
        matches!(self, Scenario::CachedSaturated | Scenario::AuthoritativeSaturated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_says_what_it_does() {
        assert!(Scenario::all().iter().all(|scenario| !scenario.title().is_empty() && !scenario.name().is_empty()));
    }
}
