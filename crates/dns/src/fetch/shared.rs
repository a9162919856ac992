//! What the two DNS modules of an engine share.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use afpa_cache::View;
use afpa_engine::seam::Address;
use afpa_engine::{Notice, Open};
use afpa_wire::proxy_protocol::Endpoints;

use crate::cache::{Details, KeyFlags, Policy, Prepared, Subnet, key};
use crate::message::{Query, Question, flag, option};
use crate::route::{Route, RouteConfig, Routes, UnknownPool};
use crate::upstream::{
    self, Ask, Attempt, BackendId, ClientSubnet, FlightId, FlightLimits, Flights, Pool, PoolConfig, PoolError, PoolId,
    Pools, Random, SubnetError, SubnetPolicy, Ticket,
};

/// The tag of the exchange that keeps watch over backends.
pub const WATCH: u64 = 0;

/// One engine's cache view, pools, routes and flights.
pub struct Shared {
    pub(crate) view: View<Details>,
    pub(crate) policy: Policy,
    pub(crate) pools: Pools,
    pub(crate) flights: Flights<Notice>,
    pub(crate) random: Random,
    routes: Routes,
    /// What was opened, and for what, by its tag.
    tasks: HashMap<u64, Opened>,
    next_tag: u64,
    /// Answers that those who waited have not taken yet.
    landed: HashMap<Notice, Landed>,
    /// Under which number each backend is counted, in the order of the pools; that order if it is empty.
    pub(crate) numbers: Vec<usize>,
    /// Whether another engine may have what this one has not.
    has_others: bool,
    /// Kept for its memory.
    key: Vec<u8>,
}

/// What something was opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    /// To find out who has the answer.
    Start(FlightId),
    /// To ask the next backend.
    Retry(FlightId),
    /// To ask this backend, for a flight.
    Ask(FlightId, Attempt),
    /// To see whether this backend works.
    Check(Attempt),
    /// To connect to this backend for that.
    Connect(Attempt),
}

/// What was opened, as long as it has not ended.
struct Opened {
    task: Task,
    /// Who waits for it to begin, and gives it up if that takes too long.
    watcher: Option<Notice>,
}

/// An answer that somebody waited for.
#[derive(Clone)]
pub(crate) struct Landed {
    pub(crate) answer: Rc<Prepared>,
    /// The number of the backend that gave it; `None` if none did.
    pub(crate) backend: Option<u16>,
}

/// Something to be opened.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) open: Open,
    pub(crate) tag: u64,
}

/// What became of who misses an answer.
#[derive(Debug)]
pub(crate) enum Joined {
    /// The first: the errand is to be sent.
    First(Ticket, Errand),
    /// One of several.
    Waiting(Ticket),
    /// Too many wait.
    Full,
}

/// Who was wrong about pools and routes: the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PoolsOrRoutes {
    /// A pool.
    Pool(PoolError),
    /// A route.
    Route(UnknownPool),
}

impl Shared {
    /// For one of `engines` engines. Questions that no rule matches go to the pool `fallback`, or are refused.
    ///
    /// # Errors
    /// The configuration does not fit together.
    pub fn new(
        view: View<Details>,
        policy: Policy,
        pools: Vec<PoolConfig>,
        routes: &[RouteConfig],
        fallback: &str,
        limits: FlightLimits,
        engines: usize,
    ) -> Result<Shared, PoolsOrRoutes> {
        let mut random = Random::new();
        let pools = Pools::new(pools, &mut || random.next_u64()).map_err(PoolsOrRoutes::Pool)?;
        let routes = routes_of(&pools, routes, fallback)?;
        Ok(Shared {
            view,
            policy,
            pools,
            flights: Flights::new(limits),
            random,
            routes,
            tasks: HashMap::new(),
            next_tag: WATCH + 1,
            landed: HashMap::new(),
            numbers: Vec::new(),
            has_others: engines > 1,
            key: Vec::new(),
        })
    }

    /// Replaces pools, routes and policy. What is known of backends that stay is kept.
    ///
    /// # Errors
    /// As for [`Shared::new`]; nothing has changed.
    pub fn reload(
        &mut self,
        policy: Policy,
        pools: Vec<PoolConfig>,
        routes: &[RouteConfig],
        fallback: &str,
    ) -> Result<(), PoolsOrRoutes> {
        // Most reloads are about zones. What is under way to the backends then is not disturbed.
        if self.pools.iter().map(Pool::config).eq(&pools) {
            self.routes = routes_of(&self.pools, routes, fallback)?;
            self.policy = policy;
            return Ok(());
        }
        let mut random = || self.random.next_u64();
        let mut pools = Pools::new(pools, &mut random).map_err(PoolsOrRoutes::Pool)?;
        pools.adopt(&self.pools);
        self.routes = routes_of(&pools, routes, fallback)?;
        let old = std::mem::replace(&mut self.pools, pools);
        self.flights.move_pools(|id| self.pools.find(&old.get(id)?.config().name));
        self.policy = policy;
        Ok(())
    }

    /// Where a client's question goes.
    pub(crate) fn route(&self, question: &Question<'_>, client: IpAddr) -> Route {
        self.routes.route(question, client)
    }

    /// Takes note of what was purged and evicted.
    pub(crate) fn refresh(&mut self) {
        self.view.apply();
    }

    /// Lets an exchange wait for the answer to `query` from `pool`.
    pub(crate) fn join(
        &mut self,
        pool: PoolId,
        query: &Query<'_>,
        client: Option<SocketAddr>,
        notice: Notice,
    ) -> Joined {
        let Some(question) = query.question else { return Joined::Full };
        let subnet = self.key_of(pool, query, &question);
        let joined = self.flights.join(&self.key, pool, notice, || ask(query, &question, subnet, client));
        match joined {
            upstream::Joined::Full => Joined::Full,
            upstream::Joined::Waiting(ticket) => Joined::Waiting(ticket),
            upstream::Joined::First(ticket) => Joined::First(ticket, self.start(ticket.flight)),
        }
    }

    /// Has an answer asked for again that is about to expire, unless somebody is at it.
    pub(crate) fn refresh_of(&mut self, pool: PoolId, query: &Query<'_>) -> Option<Errand> {
        let question = query.question?;
        let subnet = self.key_of(pool, query, &question);
        let flight = self.flights.refresh(&self.key, pool, || ask(query, &question, subnet, None));
        // Another engine's answer is as old as ours.
        flight.map(|flight| self.attempt(flight))
    }

    /// Makes the key under which a flight for `query` goes, and gives back the subnet in it.
    fn key_of(&mut self, pool: PoolId, query: &Query<'_>, question: &Question<'_>) -> Option<ClientSubnet> {
        let subnet = self.subnet(pool, query);
        key(question, KeyFlags::of(query), subnet.as_ref().map(cache_subnet).as_ref(), &mut self.key);
        subnet
    }

    /// The client's subnet, as far as answers of `pool` may depend on it.
    pub(crate) fn subnet(&self, pool: PoolId, query: &Query<'_>) -> Option<ClientSubnet> {
        self.subnet_of(pool, query).ok().flatten()
    }

    /// Whether what the client calls its subnet is none, where that matters.
    pub(crate) fn has_bad_subnet(&self, pool: PoolId, query: &Query<'_>) -> bool {
        self.subnet_of(pool, query).is_err()
    }

    fn subnet_of(&self, pool: PoolId, query: &Query<'_>) -> Result<Option<ClientSubnet>, SubnetError> {
        let policy = self.pools.get(pool).map(|pool| pool.config().subnet);
        let Some(SubnetPolicy::Pass { ipv4, ipv6 }) = policy else { return Ok(None) };
        let data = query.edns.and_then(|edns| edns.options.get(option::CLIENT_SUBNET));
        data.map(|data| Ok(ClientSubnet::of_query(data)?.shortened(ipv4, ipv6))).transpose()
    }

    fn start(&mut self, flight: FlightId) -> Errand {
        if self.has_others { self.errand(Open::Work, Task::Start(flight)) } else { self.attempt(flight) }
    }

    /// The flight's next attempt, or the work of giving it up.
    pub(crate) fn attempt(&mut self, flight: FlightId) -> Errand {
        self.errand(Open::Work, Task::Retry(flight))
    }

    /// The backend's number among all of them, as logs and metrics have it.
    pub(crate) fn number(&self, backend: BackendId) -> usize {
        let before = self.pools.iter().take_while(|pool| pool.id() != backend.pool);
        let place = before.map(|pool| pool.backends().count()).sum::<usize>() + backend.index();
        self.numbers.get(place).copied().unwrap_or(place)
    }

    /// What opens the way to an attempt's backend.
    pub(crate) fn ask(&mut self, flight: FlightId, attempt: Attempt) -> Option<Errand> {
        let open = self.way(&attempt)?;
        Some(self.errand(open, Task::Ask(flight, attempt)))
    }

    /// What begins the check of a backend. A connection needs somebody who waits for it.
    pub(crate) fn start_check(&mut self, attempt: Attempt) -> Option<Errand> {
        if attempt.tcp { Some(self.errand(Open::Work, Task::Connect(attempt))) } else { self.check(attempt) }
    }

    /// What opens the way to a backend that is to be checked.
    pub(crate) fn check(&mut self, attempt: Attempt) -> Option<Errand> {
        let open = self.way(&attempt)?;
        Some(self.errand(open, Task::Check(attempt)))
    }

    fn way(&self, attempt: &Attempt) -> Option<Open> {
        let address = self.pools.backend(attempt.backend)?.config().address;
        Some(if attempt.tcp { Open::Stream(Address::Inet(address)) } else { Open::Conversation(address) })
    }

    pub(crate) fn errand(&mut self, open: Open, task: Task) -> Errand {
        let tag = self.next_tag;
        self.next_tag += 1;
        if let Task::Ask(_, attempt) = &task {
            self.pools.began(attempt);
        }
        self.tasks.insert(tag, Opened { task, watcher: None });
        Errand { open, tag }
    }

    /// Lets `watcher` know when `tag` begins, or that it never will.
    pub(crate) fn watch(&mut self, tag: u64, watcher: Notice) {
        if let Some(opened) = self.tasks.get_mut(&tag) {
            opened.watcher = Some(watcher);
        }
    }

    /// Who waits for `tag` to begin; once.
    pub(crate) fn watcher(&mut self, tag: u64) -> Option<Notice> {
        self.tasks.get_mut(&tag)?.watcher.take()
    }

    /// What `tag` was opened for, now that it is open.
    pub(crate) fn begin(&mut self, tag: u64) -> Option<Task> {
        let task = self.tasks.get(&tag)?.task;
        // Work cannot fail to reach anybody.
        if matches!(task, Task::Start(_) | Task::Retry(_) | Task::Connect(_)) {
            self.tasks.remove(&tag);
        }
        Some(task)
    }

    /// What `tag` was opened for, now that it is at its end; once.
    pub(crate) fn end(&mut self, tag: u64) -> Option<Task> {
        self.tasks.remove(&tag).map(|opened| opened.task)
    }

    /// Ends a flight with an answer; gives back who waits for it.
    pub(crate) fn land(&mut self, flight: FlightId, landed: Option<&Landed>) -> Vec<Notice> {
        let mut waiters = Vec::new();
        self.flights.finish(flight, &mut waiters);
        if let Some(landed) = landed {
            self.landed.extend(waiters.iter().map(|waiter| (*waiter, landed.clone())));
        }
        waiters
    }

    /// The answer that an exchange waited for.
    pub(crate) fn take(&mut self, notice: Notice) -> Option<Landed> {
        self.landed.remove(&notice)
    }

    /// An exchange waits no more.
    pub(crate) fn leave(&mut self, ticket: Ticket, notice: Notice) {
        self.flights.leave(ticket, notice);
        self.landed.remove(&notice);
    }
}

fn routes_of(pools: &Pools, routes: &[RouteConfig], fallback: &str) -> Result<Routes, PoolsOrRoutes> {
    let refused = Route::Fixed(crate::route::FixedAnswer::Refused);
    let fallback = pools.find(fallback).map_or(refused, Route::Pool);
    Routes::new(routes, fallback, pools).map_err(PoolsOrRoutes::Route)
}

fn ask(query: &Query<'_>, question: &Question<'_>, subnet: Option<ClientSubnet>, client: Option<SocketAddr>) -> Ask {
    Ask {
        name: question.name.to_lowercase(),
        qtype: question.qtype,
        qclass: question.qclass,
        recursion_desired: query.header.has(flag::RD),
        checking_disabled: query.header.has(flag::CD),
        // Always, as one answer is for all who ask; each client gets what it understands (RFC 6840 §5.7, §5.8).
        authentic_data: true,
        dnssec_ok: query.dnssec_ok(),
        subnet,
        endpoints: client.map(|source| {
            let unspecified = match source.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            Endpoints { source, destination: SocketAddr::new(unspecified, 53) }
        }),
    }
}

/// The subnet as part of a key.
pub(crate) fn cache_subnet(subnet: &ClientSubnet) -> Subnet {
    Subnet::of(subnet.address(), subnet.source_prefix())
}

impl std::fmt::Display for PoolsOrRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PoolsOrRoutes::Pool(error) => error.fmt(f),
            PoolsOrRoutes::Route(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PoolsOrRoutes {}
