//! What servers are asked for in a comparison.

use crate::load::Io;
use crate::peers::{Abilities, PEERS, Peer};
use crate::proxies::PROXIES;
use clap::ValueEnum;

/// A way to load a server. The order matters: memory that active connections have made a server
/// take, and keep, would hide what idle ones cost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// 1 KiB documents over persistent connections
    #[value(name = "persistent-1k")]
    Persistent1K,
    /// 1 KiB documents, a connection for each
    #[value(name = "per-request-1k")]
    PerRequest1K,
    /// 64 KiB documents over persistent connections
    #[value(name = "persistent-64k")]
    Persistent64K,
    /// 1 MiB documents over persistent connections
    #[value(name = "persistent-1m")]
    Persistent1M,
    /// The SPECweb96 file set in its proportions, a connection for each document
    #[value(name = "specweb96")]
    SpecWeb96,
    /// 10,000 idle connections: what each costs in memory
    #[value(name = "idle-10k")]
    Idle10K,
    /// 10,000 active connections, 1 KiB documents
    #[value(name = "active-10k")]
    Active10K,
    /// 1 KiB from an accelerator's cache, over persistent connections
    #[value(name = "proxy-hit-1k")]
    ProxyHit1K,
    /// 1 KiB that an accelerator may not keep, over persistent connections to it and to the origin
    #[value(name = "proxy-miss-1k")]
    ProxyMiss1K,
    /// 64 KiB from an accelerator's cache, over persistent connections
    #[value(name = "proxy-hit-64k")]
    ProxyHit64K,
    /// 64 octets, a connection for each document
    #[value(name = "by-size-64")]
    BySize64,
    /// 1 KiB, a connection for each document
    #[value(name = "by-size-1k")]
    BySize1K,
    /// 4 KiB, a connection for each document
    #[value(name = "by-size-4k")]
    BySize4K,
    /// 8 KiB, a connection for each document
    #[value(name = "by-size-8k")]
    BySize8K,
    /// 16 KiB, a connection for each document
    #[value(name = "by-size-16k")]
    BySize16K,
    /// 32 KiB, a connection for each document
    #[value(name = "by-size-32k")]
    BySize32K,
    /// 128 KiB, a connection for each document
    #[value(name = "by-size-128k")]
    BySize128K,
    /// 1 MiB, a connection for each document
    #[value(name = "by-size-1m")]
    BySize1M,
}

/// What servers are compared as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Role {
    /// Servers of files
    Serve,
    /// Caches in front of an origin
    Accelerate,
}

impl Role {
    /// Its name in options and figures.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The servers that have it.
    pub(crate) fn servers(self) -> &'static [Peer] {
        match self {
            Role::Serve => PEERS,
            Role::Accelerate => PROXIES,
        }
    }
}

/// How many connections the scenarios of many connections have.
pub(crate) const MANY: u32 = 10_000;

impl Scenario {
    /// All, in the order in which they are run.
    pub(crate) fn all() -> &'static [Scenario] {
        Self::value_variants()
    }

    /// Its name in options and figures.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What it does, in a line.
    pub(crate) fn title(self) -> String {
        self.to_possible_value().and_then(|value| Some(value.get_help()?.to_string())).unwrap_or_default()
    }

    /// What a server is while it is asked.
    pub(crate) fn role(self) -> Role {
        match self {
            Scenario::ProxyHit1K | Scenario::ProxyMiss1K | Scenario::ProxyHit64K => Role::Accelerate,
            _ => Role::Serve,
        }
    }

    /// What an accelerator is asked for, and how many octets that has.
    fn target(self) -> Option<(&'static str, u64)> {
        match self {
            Scenario::ProxyHit1K => Some(("fixed/1024", 1024)),
            Scenario::ProxyHit64K => Some(("fixed/65536", 65_536)),
            Scenario::ProxyMiss1K => Some(("class/live/fixed/1024?cc=no-store", 1024)),
            _ => None,
        }
    }

    /// What a load's URL has behind the server's name and a slash.
    pub(crate) fn path(self) -> &'static str {
        self.target().map_or("", |target| target.0)
    }

    /// Whether a server with these abilities can be asked for it.
    pub(crate) fn suits(self, abilities: Abilities) -> bool {
        match abilities {
            Abilities::All => true,
            Abilities::OneAtATime => matches!(self, Scenario::PerRequest1K | Scenario::SpecWeb96) || self.is_by_size(),
            Abilities::Constant => {
                matches!(self, Scenario::Persistent1K | Scenario::PerRequest1K | Scenario::Active10K)
            }
        }
    }

    /// Whether it is a point of the paper's figures 3 and 4, which run only if named.
    pub(crate) fn is_by_size(self) -> bool {
        self.size().is_some()
    }

    /// The size of its documents in octets, if it is a point of those figures.
    pub(crate) fn size(self) -> Option<u64> {
        Some(match self {
            Scenario::BySize64 => 64,
            Scenario::BySize1K => 1 << 10,
            Scenario::BySize4K => 4 << 10,
            Scenario::BySize8K => 8 << 10,
            Scenario::BySize16K => 16 << 10,
            Scenario::BySize32K => 32 << 10,
            Scenario::BySize128K => 128 << 10,
            Scenario::BySize1M => 1 << 20,
            _ => return None,
        })
    }

    /// How many connections it has, if others have `connections`.
    pub(crate) fn connections(self, connections: u32) -> u32 {
        match self {
            Scenario::Active10K | Scenario::Idle10K => MANY,
            _ => connections,
        }
    }

    /// The interface with which the client keeps up best: large bodies want its one large receive
    /// buffer, or the client and not the server sets the pace.
    pub(crate) fn io(self) -> Io {
        match self {
            Scenario::Persistent64K | Scenario::Persistent1M | Scenario::ProxyHit64K => Io::Epoll,
            _ => Io::Auto,
        }
    }

    /// The arguments of `load` for it.
    pub(crate) fn arguments(self, connections: u32, directories: u32) -> Vec<String> {
        let what = match (self, self.size().or(self.target().map(|target| target.1))) {
            (Scenario::ProxyHit1K | Scenario::ProxyMiss1K | Scenario::ProxyHit64K, Some(size)) => {
                format!("--expect {size}")
            }
            (_, Some(size)) => format!("--size {size} --per-request"),
            (Scenario::PerRequest1K, _) => "--size 1KiB --per-request".to_owned(),
            (Scenario::Persistent64K, _) => "--size 64KiB".to_owned(),
            (Scenario::Persistent1M, _) => "--size 1MiB".to_owned(),
            (Scenario::SpecWeb96, _) => format!("--specweb96 --directories {directories} --per-request"),
            (Scenario::Idle10K, _) => "--size 1KiB --idle".to_owned(),
            _ => "--size 1KiB".to_owned(),
        };
        format!("{what} --connections {}", self.connections(connections)).split(' ').map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::LoadArgs;
    use clap::{Args, Command, FromArgMatches};

    #[test]
    fn load_understands_what_every_scenario_asks() {
        for scenario in Scenario::all() {
            let arguments =
                ["load".to_owned(), "http://127.0.0.1".to_owned()].into_iter().chain(scenario.arguments(64, 20));
            let matches = LoadArgs::augment_args(Command::new("load")).try_get_matches_from(arguments).unwrap();
            let load = LoadArgs::from_arg_matches(&matches).unwrap();
            assert_eq!(load.connections == MANY, scenario.name().ends_with("10k"));
        }
    }

    #[test]
    fn an_accelerator_is_asked_for_what_its_origin_has() {
        for scenario in Scenario::all().iter().filter(|scenario| scenario.role() == Role::Accelerate) {
            assert!(scenario.arguments(64, 20).join(" ").starts_with("--expect ") && !scenario.path().is_empty());
        }
        assert_eq!(Scenario::Persistent1K.path(), "");
    }

    #[test]
    fn every_scenario_says_what_it_does() {
        assert!(Scenario::all().iter().all(|scenario| !scenario.title().is_empty() && !scenario.name().is_empty()));
    }
}
