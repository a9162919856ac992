//! Host names of backends, resolved again and again: addresses come and go.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use afpa_balancing::Published;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A host name and a port.
pub type HostPort = (String, u16);
/// The addresses of a name, with its port.
pub type Addresses = Published<Vec<SocketAddr>>;
type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// How names are resolved.
pub type Resolver = Arc<dyn Fn(HostPort) -> Resolving + Send + Sync>;

/// The most addresses of a name; others are left out.
pub const MOST_ADDRESSES: usize = 64;
/// The least time between two resolutions of a name.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

/// Names that are watched. Each has a task of its own, and so at most one resolution at a time. Dropped, they end.
pub struct Resolutions {
    resolver: Resolver,
    names: BTreeMap<HostPort, Task>,
    changed: Arc<Notify>,
}

struct Task {
    addresses: Arc<Addresses>,
    interval: Duration,
    handle: JoinHandle<()>,
}

impl Resolutions {
    /// No names so far. They are resolved as [`system`] or something else does.
    pub fn new(resolver: Resolver) -> Resolutions {
        Resolutions { resolver, names: BTreeMap::new(), changed: Arc::new(Notify::new()) }
    }

    /// From now on watches these names, and resolves each `interval` after its last resolution ended. Of names that
    /// stay the addresses stay. Needs tokio.
    pub fn update(&mut self, names: impl IntoIterator<Item = HostPort>, interval: Duration) {
        let interval = interval.max(LEAST_INTERVAL);
        let mut before = std::mem::take(&mut self.names);
        for name in names {
            let known = self.names.remove(&name).or_else(|| before.remove(&name));
            let task = match known {
                Some(task) if task.interval == interval => task,
                known => {
                    let addresses = known.map_or_else(Arc::default, |task| task.addresses.clone());
                    self.start(name.clone(), addresses, interval)
                }
            };
            self.names.insert(name, task);
        }
    }

    fn start(&self, name: HostPort, addresses: Arc<Addresses>, interval: Duration) -> Task {
        let watched = watch(name, addresses.clone(), interval, self.resolver.clone(), self.changed.clone());
        Task { addresses, interval, handle: tokio::spawn(watched) }
    }

    /// The addresses of a name, sorted; none if it was not resolved yet. `None` if it is not watched.
    pub fn addresses(&self, host: &str, port: u16) -> Option<&Arc<Addresses>> {
        self.names.get(&(host.to_owned(), port)).map(|task| &task.addresses)
    }

    /// Told of each change of any name's addresses.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Resolves a name until the task is ended. What cannot be resolved keeps the addresses that it had: a server of names
/// that is away must not take backends away.
async fn watch(
    name: HostPort,
    addresses: Arc<Addresses>,
    interval: Duration,
    resolver: Resolver,
    changed: Arc<Notify>,
) {
    let mut failing = false;
    loop {
        // There is no timeout: the system has its own, and what it has begun cannot be ended.
        match resolver(name.clone()).await.map(tidy) {
            Ok(found) if !found.is_empty() => {
                failing = false;
                if found != *addresses.latest() {
                    tracing::info!("{} has {} now", name.0, listed(&found));
                    addresses.publish(Arc::new(found));
                    changed.notify_one();
                }
            }
            result => {
                let reason = result.err().map_or("it has no address".to_owned(), |error| error.to_string());
                // Once, not each time.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!("{} cannot be resolved: {reason}", name.0);
                }
            }
        }
        sleep(interval).await;
    }
}

/// Sorted, so that another order is no change.
fn tidy(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MOST_ADDRESSES);
    addresses
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Resolves names as the system does, on a thread of its own.
pub fn system() -> Resolver {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host(name).await?.collect()) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::until::until;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use tokio::time::timeout;

    fn name(host: &str) -> HostPort {
        (host.to_owned(), 80)
    }

    /// Each name has what the list says; `None`: an error.
    fn fake(answer: Arc<Mutex<Option<Vec<SocketAddr>>>>, asked: Arc<AtomicUsize>) -> Resolver {
        Arc::new(move |_| {
            asked.fetch_add(1, SeqCst);
            let answer = answer.lock().unwrap().clone();
            Box::pin(async move { answer.ok_or_else(|| io::Error::other("nobody answers")) })
        })
    }

    fn addresses(last: &[u8]) -> Vec<SocketAddr> {
        last.iter().map(|&last| ([192, 0, 2, last], 80).into()).collect()
    }

    #[tokio::test]
    async fn addresses_come_and_go_and_stay_when_nobody_answers() {
        let (answer, asked) = (Arc::new(Mutex::new(Some(addresses(&[2, 1, 2])))), Arc::new(AtomicUsize::new(0)));
        let mut resolutions = Resolutions::new(fake(answer.clone(), asked.clone()));
        resolutions.update([name("a.example")], Duration::from_millis(1));
        let published = resolutions.addresses("a.example", 80).unwrap().clone();
        until("an address", || *published.latest() == addresses(&[1, 2])).await;
        timeout(Duration::from_secs(30), resolutions.changed().notified()).await.unwrap();

        let mut seen = published.generation();
        *answer.lock().unwrap() = Some(addresses(&[1, 2]));
        for other in [None, Some(Vec::new())] {
            *answer.lock().unwrap() = other;
            let before = asked.load(SeqCst);
            until("two resolutions", || asked.load(SeqCst) > before + 2).await;
            assert!(published.newer(&mut seen).is_none(), "nothing has changed");
        }
        *answer.lock().unwrap() = Some(addresses(&[2, 3]));
        until("a change", || published.generation() != seen).await;
        assert_eq!(*published.latest(), addresses(&[2, 3]));
    }

    #[tokio::test]
    async fn names_that_stay_keep_their_addresses() {
        let (answer, asked) = (Arc::new(Mutex::new(Some(addresses(&[1])))), Arc::new(AtomicUsize::new(0)));
        let mut resolutions = Resolutions::new(fake(answer.clone(), asked));
        resolutions.update([name("a.example"), name("b.example")], Duration::from_secs(3600));
        let published = resolutions.addresses("a.example", 80).unwrap().clone();
        until("an address", || !published.latest().is_empty()).await;
        *answer.lock().unwrap() = None;
        resolutions.update([name("a.example"), name("a.example")], Duration::from_millis(1));
        assert!(Arc::ptr_eq(resolutions.addresses("a.example", 80).unwrap(), &published));
        assert!(resolutions.addresses("b.example", 80).is_none());
        *answer.lock().unwrap() = Some(addresses(&[7]));
        until("another interval", || *published.latest() == addresses(&[7])).await;
    }

    #[tokio::test]
    async fn the_system_resolves_an_address_to_itself() {
        let mut resolutions = Resolutions::new(system());
        resolutions.update([name("127.0.0.1")], Duration::from_secs(3600));
        let published = resolutions.addresses("127.0.0.1", 80).unwrap().clone();
        until("an address", || *published.latest() == [SocketAddr::from(([127, 0, 0, 1], 80))]).await;
    }

    #[test]
    fn no_name_has_more_than_the_most_addresses() {
        let many: Vec<_> = (0..=255).rev().collect();
        assert_eq!(tidy(addresses(&many)), addresses(&(0..64).collect::<Vec<_>>()));
    }
}
