//! What an operator decides about requests that other servers answer.

use std::net::IpAddr;
use std::sync::Arc;

use afpa_cache::Cache;
use afpa_routing::Router;

use super::purge::Purges;
use crate::fetch::FetchTimes;
use crate::fetch::PoolPlan;
use crate::fetch::flights::Flights;
use crate::kept::Kept;
use crate::quality::QualityPlan;
use crate::syntax::ResponseLimits;
use crate::syntax::client_address::AddressField;
use crate::syntax::forward::Provenance;

/// Where requests go, and what the cache does for them. Shared by the engines, and replaced as a whole at a reload.
pub struct Relay {
    /// The name of this cache and proxy, in Cache-Status and Via.
    pub name: String,
    /// From a request to its route. Pools, sites of files and deferred servers are numbered as in the lists here and in
    /// the module's settings.
    pub router: Router,
    /// By [`Route::caching`](afpa_routing::Route::caching).
    pub policies: Vec<RoutePlan>,
    /// By [`Target::Pool`](afpa_routing::Target::Pool).
    pub pools: Vec<PoolPlan>,
    /// How long the pools' backends may take, by pool.
    pub times: Vec<FetchTimes>,
    /// What decides among a pool's backends, by pool, where something of the request does.
    pub hash_on: Vec<Option<HashOn>>,
    /// Which version of the PROXY protocol a pool's backends want, if any.
    pub proxy_protocol: Vec<Option<u8>>,
    /// By [`Target::Deferred`](afpa_routing::Target::Deferred): Unix sockets.
    pub deferred: Vec<std::path::PathBuf>,
    /// Where responses are kept.
    pub cache: Arc<Cache<Kept>>,
    /// Kept through reloads.
    pub shared: RelayShared,
    /// Bounds on a response's head.
    pub limits: ResponseLimits,
    /// Octets of responses under way that all flights hold together; beyond it they are not kept.
    pub most_held: u64,
    /// Classes of requests and limits, if there are any.
    pub quality: Option<QualityPlan>,
    /// What is told to backends about clients.
    pub forwarding: Forwarding,
}

/// What lives through reloads.
#[derive(Clone, Default)]
pub struct RelayShared {
    pub(crate) flights: Arc<Flights>,
    /// What was purged.
    pub purges: Arc<Purges>,
}

impl RelayShared {
    /// Responses under way that others may join.
    pub fn flights_under_way(&self) -> usize {
        self.flights.len()
    }

    /// Octets of responses under way that are held for those who read them.
    pub fn octets_held(&self) -> u64 {
        self.flights.held()
    }
}

/// A cache policy, and how requests under it are fetched.
#[derive(Clone)]
pub struct RoutePlan {
    /// What RFC 9111 leaves to an operator.
    pub semantics: afpa_caching::Policy,
    /// Whether anything is kept.
    pub keeps: bool,
    /// Whether what was kept of a GET answers HEAD.
    pub answers_head: bool,
    /// The longest response that is kept, in octets.
    pub largest: u64,
    /// Whether text is compressed when it is kept.
    pub compresses: bool,
    /// Whether those who miss together ask once.
    pub collapses: bool,
}

/// What is told to backends about clients.
pub struct Forwarding {
    /// The fields that name clients to backends.
    pub provenance: Provenance,
    /// The field in which they tell it.
    pub believed: AddressField,
    /// Peers whose word on who their clients are is believed.
    pub is_trusted: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Whether any peer starts its connections with a PROXY header.
    pub has_headers: bool,
    /// Which do.
    pub sends_header: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// What of a request decides among backends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HashOn {
    /// Host, path and query.
    Url,
    /// The client's address.
    Client,
    /// A header field.
    Field(String),
    /// A cookie.
    Cookie(String),
}

impl Relay {
    /// Whether a flight under a policy that has so much may go on to keep what comes.
    pub(crate) fn may_hold(&self, policy: usize, received: u64) -> bool {
        self.policies.get(policy).is_some_and(|policy| received <= policy.largest)
            && self.shared.flights.held() <= self.most_held
    }
}
