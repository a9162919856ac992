//! The control plane of pools: what is configured, resolved and checked, made into what engines share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use afpa_balancing::{BackendAddress, BackendState, PoolConfig, PoolError, PoolState, Published, Registry};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::ejections::{Ejected, Ejections};
use super::health::{CheckSettings, HealthChecks, Target};
use super::resolve::{Resolutions, Resolver};

/// All pools and how they are watched.
#[derive(Clone, Debug)]
pub struct PoolsSettings {
    /// The pools.
    pub pools: Vec<PoolSettings>,
    /// The time between two resolutions of a host name.
    pub resolve_interval: Duration,
}

/// A pool and how its backends are checked.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The pool, host names as they are configured.
    pub config: PoolConfig,
    /// How its backends are checked; `None`: they are not.
    pub check: Option<Arc<CheckSettings>>,
}

/// The pools of a server. Dropped, nothing is checked or resolved any more; engines keep what they have.
pub struct Pools {
    shared: Arc<Mutex<Shared>>,
    /// Follows addresses that come and go.
    follower: JoinHandle<()>,
    /// Tells of ejections.
    teller: JoinHandle<()>,
}

/// How often it is looked for ejections, which engines decide on and do not write about.
const LOOK: Duration = Duration::from_secs(1);

struct Shared {
    clock: fn() -> u64,
    registry: Registry,
    settings: PoolsSettings,
    resolutions: Resolutions,
    checks: HealthChecks,
    published: BTreeMap<String, Arc<Published<PoolState>>>,
}

impl Pools {
    /// Starts to resolve and to check. `clock` is the one that engines go by, in nanoseconds. Needs tokio.
    ///
    /// # Errors
    /// A pool that cannot work as it is configured.
    pub fn start(settings: PoolsSettings, resolver: Resolver, clock: fn() -> u64) -> Result<Pools, PoolError> {
        let mut shared = Shared {
            clock,
            registry: Registry::new(),
            settings: PoolsSettings { pools: Vec::new(), ..settings },
            resolutions: Resolutions::new(resolver),
            checks: HealthChecks::new(clock),
            published: BTreeMap::new(),
        };
        shared.reload(settings)?;
        let changed = shared.resolutions.changed();
        let shared = Arc::new(Mutex::new(shared));
        let follower = tokio::spawn(follow(Arc::downgrade(&shared), changed));
        let teller = tokio::spawn(tell(Arc::downgrade(&shared)));
        Ok(Pools { shared, follower, teller })
    }

    /// Goes on with other settings. What is known of backends that stay is kept.
    ///
    /// # Errors
    /// A pool that cannot work as it is configured. All goes on as before then.
    pub fn reload(&self, settings: PoolsSettings) -> Result<(), PoolError> {
        lock(&self.shared).reload(settings)
    }

    /// A pool by name. It stays the same over reloads, as long as there is a pool of this name; engines look at its
    /// generation to see that it has changed.
    pub fn pool(&self, name: &str) -> Option<Arc<Published<PoolState>>> {
        lock(&self.shared).published.get(name).cloned()
    }

    /// Every pool as it is now, by name.
    pub fn states(&self) -> Vec<Arc<PoolState>> {
        lock(&self.shared).published.values().map(|pool| pool.latest()).collect()
    }

    /// All backends with their pools' names, for what the server tells.
    pub fn backends(&self) -> Vec<(String, Arc<BackendState>)> {
        let shared = lock(&self.shared);
        shared.registry.backends().map(|(pool, backend)| (pool.to_owned(), backend.clone())).collect()
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        self.follower.abort();
        self.teller.abort();
    }
}

/// Writes about ejections, until nobody has the pools any more.
async fn tell(shared: Weak<Mutex<Shared>>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ejections = Ejections::default();
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let shared = lock(&shared);
        let now = (shared.clock)();
        let news = ejections.news(shared.published.values().map(|pool| pool.latest()), now);
        drop(shared);
        for Ejected { pool, backend, left } in news {
            match left {
                Some(left) => tracing::warn!(
                    "backend {backend} of pool {pool} is left alone for {} s: it fails, or is slower than the others",
                    left.as_secs_f64().ceil(),
                ),
                None => tracing::info!("backend {backend} of pool {pool} gets requests again"),
            }
        }
    }
}

async fn follow(shared: Weak<Mutex<Shared>>, changed: Arc<tokio::sync::Notify>) {
    loop {
        changed.notified().await;
        let Some(shared) = shared.upgrade() else { return };
        lock(&shared).follow();
    }
}

impl Shared {
    fn reload(&mut self, settings: PoolsSettings) -> Result<(), PoolError> {
        // Names that are new have no address before they are watched; those come later.
        let resolved = settings.pools.iter().map(|pool| self.resolved(&pool.config)).collect();
        settings.pools.iter().try_for_each(|pool| pool.config.check())?;
        let states = self.registry.update(resolved, (self.clock)())?;
        let names = settings.pools.iter().flat_map(|pool| &pool.config.backends);
        let names = names.filter_map(|backend| match &backend.address {
            BackendAddress::Host(host, port) => Some((host.clone(), *port)),
            _ => None,
        });
        self.resolutions.update(names, settings.resolve_interval);
        self.published.retain(|name, _| settings.pools.iter().any(|pool| pool.config.name == *name));
        self.settings = settings;
        states.into_iter().for_each(|state| self.publish(state));
        self.check();
        Ok(())
    }

    /// Makes those pools anew whose addresses have changed.
    fn follow(&mut self) {
        let resolved: Vec<_> = self.settings.pools.iter().map(|pool| self.resolved(&pool.config)).collect();
        for config in resolved {
            if self.published.get(&config.name).is_some_and(|pool| *pool.latest().config() == config) {
                continue;
            }
            match self.registry.update_pool(config, (self.clock)()) {
                Ok(state) => self.publish(state),
                Err(error) => tracing::error!("addresses have changed, and the old ones stay in use: {error}"),
            }
        }
        self.check();
    }

    fn resolved(&self, config: &PoolConfig) -> PoolConfig {
        config.resolved(|host, port| {
            self.resolutions.addresses(host, port).map(|addresses| addresses.latest().to_vec()).unwrap_or_default()
        })
    }

    fn publish(&mut self, state: Arc<PoolState>) {
        match self.published.get(&state.config().name) {
            Some(published) => published.publish(state),
            None => {
                let name = state.config().name.clone();
                self.published.insert(name, Arc::new(Published::new(state)));
            }
        }
    }

    /// Checks the backends that there are now.
    fn check(&mut self) {
        let mut targets = Vec::new();
        for PoolSettings { config, check } in &self.settings.pools {
            let Some(pool) = self.published.get(&config.name) else { continue };
            let backends = pool.latest().backends().to_vec();
            let Some(settings) = check else {
                backends.iter().for_each(|backend| backend.unchecked());
                continue;
            };
            targets.extend(backends.into_iter().map(|backend| Target {
                pool: config.name.clone(),
                backend,
                settings: settings.clone(),
            }));
        }
        self.checks.update(targets);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::until::until;
    use std::io;
    use std::net::SocketAddr;

    use afpa_balancing::{BackendConfig, Balancer, Choice, Unavailable};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    type Zone = Arc<Mutex<Vec<SocketAddr>>>;

    fn resolver(zone: &Zone) -> Resolver {
        let zone = zone.clone();
        Arc::new(move |_| {
            let addresses = zone.lock().unwrap().clone();
            Box::pin(async move { io::Result::Ok(addresses) })
        })
    }

    fn settings(backends: Vec<BackendAddress>, check: Option<Arc<CheckSettings>>) -> PoolsSettings {
        let backends = backends.into_iter().map(BackendConfig::new).collect();
        let pool = PoolSettings { config: PoolConfig::new("web", backends), check };
        PoolsSettings { pools: vec![pool], resolve_interval: Duration::from_millis(1) }
    }

    fn host() -> BackendAddress {
        BackendAddress::Host("a.example".into(), 80)
    }

    /// Answers every request with 200.
    async fn server() -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
        });
        (address, serving)
    }

    #[tokio::test]
    async fn addresses_become_backends_and_go_again() {
        let zone = Zone::default();
        let pools = Pools::start(settings(vec![host()], None), resolver(&zone), || 1).unwrap();
        let published = pools.pool("web").unwrap();
        let mut seen = 0;
        let mut balancer = Balancer::new(published.newer(&mut seen).unwrap(), 1);
        assert_eq!(balancer.choose(&Choice::default(), 1), Err(Unavailable::Empty));

        let addresses = [[192, 0, 2, 1], [192, 0, 2, 2]].map(|ip| SocketAddr::from((ip, 80)));
        *zone.lock().unwrap() = addresses.to_vec();
        until("backends", || published.latest().backends().len() == 2).await;
        balancer.update(published.newer(&mut seen).unwrap());
        assert!(balancer.choose(&Choice::default(), 1).is_ok());
        let stays = published.latest().backends()[1].clone();

        zone.lock().unwrap().remove(0);
        until("one backend", || published.latest().backends().len() == 1).await;
        balancer.update(published.newer(&mut seen).unwrap());
        let index = balancer.choose(&Choice::default(), 1).unwrap();
        assert_eq!(balancer.config(index).unwrap().address, BackendAddress::Inet(addresses[1]));
        assert!(Arc::ptr_eq(balancer.state(index).unwrap(), &stays));
        assert_eq!(pools.backends().len(), 1);
    }

    #[tokio::test]
    async fn backends_are_checked_and_reloads_keep_what_was_found() {
        let (address, serving) = server().await;
        let check = Arc::new(CheckSettings {
            interval: Duration::from_millis(5),
            connect_timeout: Duration::from_secs(20),
            response_timeout: Duration::from_secs(20),
            ..CheckSettings::default()
        });
        let zone: Zone = Arc::new(Mutex::new(vec![address]));
        let pools = Pools::start(settings(vec![host()], Some(check.clone())), resolver(&zone), || 1).unwrap();
        let published = pools.pool("web").unwrap();
        until("a backend", || !published.latest().backends().is_empty()).await;
        let backend = published.latest().backends()[0].clone();
        until("a passed check", || backend.counters().checks_passed > 0).await;
        serving.abort();
        until("its fall", || !backend.is_healthy()).await;

        let more = vec![host(), BackendAddress::Inet("192.0.2.9:80".parse().unwrap())];
        pools.reload(settings(more, Some(check))).unwrap();
        assert!(Arc::ptr_eq(&pools.pool("web").unwrap(), &published));
        assert!(Arc::ptr_eq(&published.latest().backends()[0], &backend) && !backend.is_healthy());
        assert_eq!(published.latest().backends().len(), 2);
        pools.reload(settings(vec![host()], None)).unwrap();
        assert!(backend.is_healthy(), "nobody checks it any more");
    }

    #[tokio::test]
    async fn a_reload_that_cannot_work_changes_nothing() {
        let pools = Pools::start(settings(vec![host()], None), resolver(&Zone::default()), || 1).unwrap();
        let published = pools.pool("web").unwrap();
        let before = published.generation();
        let twice = settings(vec![host(), host()], None);
        assert!(pools.reload(twice).is_err());
        assert_eq!(published.generation(), before);
        pools.reload(PoolsSettings { pools: Vec::new(), resolve_interval: Duration::from_secs(1) }).unwrap();
        assert!(pools.pool("web").is_none());
    }
}
