//! Where a question goes: the first rule that matches says.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use crate::message::{Class, MAX_NAME, Name, NameBuf, Question, Type};
use crate::protect::{Network, NetworkSet};
use crate::upstream::{PoolId, Pools};

/// A rule as it is configured. What it does not name, it does not look at; without anything it matches every question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteConfig {
    /// The name asked for is one of these or below it; empty: any name.
    pub suffixes: Vec<NameBuf>,
    /// The type is one of these; empty: any.
    pub qtypes: Vec<Type>,
    /// The class is this; `None`: any.
    pub qclass: Option<Class>,
    /// The client is in one of these; empty: any.
    pub clients: Vec<Network>,
    /// What then.
    pub action: RouteAction,
}

/// What happens with a question, as it is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteAction {
    /// The pool of this name answers.
    Pool(String),
    /// A fixed answer.
    Fixed(FixedAnswer),
}

/// An answer that nobody is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FixedAnswer {
    /// REFUSED.
    Refused,
    /// NXDOMAIN.
    NxDomain,
    /// SERVFAIL.
    ServFail,
    /// None at all.
    Drop,
}

/// Where a question goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// To a pool.
    Pool(PoolId),
    /// Nowhere.
    Fixed(FixedAnswer),
}

/// A rule that names a pool that does not exist: the operator's fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownPool {
    /// The rule's place, from zero.
    pub rule: usize,
    /// The pool that it names.
    pub pool: String,
}

/// All rules, found by suffix: a question costs one look-up for each length that suffixes have and its name has,
/// however many rules there are.
#[derive(Clone, Debug)]
pub struct Routes {
    rules: Vec<Rule>,
    /// The rules of a suffix (lower case, wire form), in their order. Rules without one have the root.
    by_suffix: HashMap<Box<[u8]>, Vec<u32>>,
    /// How many octets suffixes have, as bits: others need not be looked up.
    lengths: [u64; 4],
    fallback: Route,
}

#[derive(Clone, Debug)]
struct Rule {
    qtypes: Vec<Type>,
    qclass: Option<Class>,
    clients: NetworkSet,
    route: Route,
}

impl Routes {
    /// The rules of `configs`, in their order. `fallback` is for what none matches.
    ///
    /// # Errors
    /// A rule names a pool that is none of `pools`.
    pub fn new(configs: &[RouteConfig], fallback: Route, pools: &Pools) -> Result<Routes, UnknownPool> {
        let mut routes = Routes { rules: Vec::new(), by_suffix: HashMap::new(), lengths: [0; 4], fallback };
        for (place, config) in configs.iter().enumerate() {
            let route = match &config.action {
                RouteAction::Fixed(answer) => Route::Fixed(*answer),
                RouteAction::Pool(name) => {
                    let unknown = || UnknownPool { rule: place, pool: name.clone() };
                    Route::Pool(pools.find(name).ok_or_else(unknown)?)
                }
            };
            let root = [Name::ROOT.to_owned()];
            let suffixes = if config.suffixes.is_empty() { &root[..] } else { &config.suffixes };
            let distinct: HashSet<_> = suffixes.iter().collect();
            for suffix in distinct {
                routes.index(suffix.as_name(), place as u32);
            }
            let (qtypes, qclass, clients) =
                (config.qtypes.clone(), config.qclass, NetworkSet::new(config.clients.iter().copied()));
            routes.rules.push(Rule { qtypes, qclass, clients, route });
        }
        Ok(routes)
    }

    fn index(&mut self, suffix: Name<'_>, rule: u32) {
        let wire = suffix.as_wire().to_ascii_lowercase();
        self.lengths[wire.len() / 64] |= 1 << (wire.len() % 64);
        self.by_suffix.entry(wire.into()).or_default().push(rule);
    }

    /// Where the question of a client goes.
    pub fn route(&self, question: &Question<'_>, client: IpAddr) -> Route {
        if self.rules.is_empty() {
            return self.fallback;
        }
        let mut lower = [0; MAX_NAME];
        let wire = question.name.as_wire();
        let lower = &mut lower[..wire.len()];
        lower.copy_from_slice(wire);
        lower.make_ascii_lowercase();
        let mut first: Option<u32> = None;
        for suffix in question.name.ancestors() {
            let len = suffix.as_wire().len();
            if self.lengths[len / 64] >> (len % 64) & 1 == 0 {
                continue;
            }
            let Some(rules) = self.by_suffix.get(&lower[lower.len() - len..]) else { continue };
            let earlier = rules.iter().take_while(|&&rule| first.is_none_or(|first| rule < first));
            let found = earlier.copied().find(|&rule| self.rules[rule as usize].matches(question, client));
            first = found.or(first);
        }
        first.map_or(self.fallback, |rule| self.rules[rule as usize].route)
    }
}

impl Rule {
    fn matches(&self, question: &Question<'_>, client: IpAddr) -> bool {
        (self.qtypes.is_empty() || self.qtypes.contains(&question.qtype))
            && self.qclass.is_none_or(|qclass| qclass == question.qclass)
            && (self.clients.is_empty() || self.clients.contains(client))
    }
}

impl fmt::Display for UnknownPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} names the pool {}, which does not exist", self.rule + 1, self.pool)
    }
}

impl std::error::Error for UnknownPool {}
