//! What is taken out of the caches.

use std::sync::Arc;
use std::time::Duration;

use afpa_cache::Cache;
use afpa_http::files::{purge_under, purge_url};
use afpa_http::remote::purge::{Purge as RemotePurge, Purges, Target};
use afpa_http::remote::{Effect, Relay};
use afpa_http::{Kept, Settings};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use crate::stats::{Purge, Subject};

/// How often it is looked whether there is something to be swept up.
const TICK: Duration = Duration::from_millis(100);
/// So many purges are swept up at the next tick, fewer only after so many ticks.
const MANY: usize = 512;
const PATIENCE: usize = 10;

/// Sweeps up after purges of what came from backends, as long as it lives. Purges hold without it; it gives back the
/// memory, and keeps the list of purges short.
pub(super) struct Sweeper(JoinHandle<()>);

impl Sweeper {
    /// Needs tokio.
    pub(super) fn start(purges: Arc<Purges>, cache: Arc<Cache<Kept>>) -> Sweeper {
        Sweeper(tokio::spawn(sweep(purges, cache)))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn sweep(purges: Arc<Purges>, cache: Arc<Cache<Kept>>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waited = 0;
    loop {
        ticks.tick().await;
        let unswept = purges.unswept();
        waited = if unswept == 0 { 0 } else { waited + 1 };
        if unswept < MANY && waited < PATIENCE {
            continue;
        }
        waited = 0;
        let (purges, cache) = (purges.clone(), cache.clone());
        // Ends early only when the process does.
        let _ = spawn_blocking(move || purges.sweep(&cache)).await;
    }
}

/// Enters what a purge means for what came from backends; whether it means anything.
pub(super) fn enter(relay: &Relay, purge: &Purge) -> bool {
    let boxed = |octets: &[u8]| octets.into();
    let target = match &purge.what {
        Subject::Url { host, path, query } => relay.kept_of(host.as_deref(), path, query.as_deref()),
        Subject::Prefix { host, path } => Target::Prefix { host: host.as_deref().map(boxed), path: boxed(path) },
        Subject::Surrogate(key) => Target::Surrogate(boxed(key)),
        Subject::Field { name, value } => Target::Field { name: boxed(name), value: boxed(value) },
        Subject::All => Target::All,
        Subject::Name(_) | Subject::Subtree(_) => return false,
    };
    let effect = if purge.is_soft { Effect::Outdates } else { Effect::Removes };
    relay.shared.purges.enter(RemotePurge { target, effect });
    true
}

/// Takes out files; how many there were. All hosts have the same ones.
pub(super) fn of_files(settings: &Settings, what: &Subject) -> usize {
    let of_site = |number| match what {
        Subject::Url { path, .. } => purge_url(&settings.cache, number, path),
        Subject::Prefix { path, .. } => purge_under(&settings.cache, number, path),
        Subject::All => purge_under(&settings.cache, number, b"/"),
        Subject::Surrogate(_) | Subject::Field { .. } | Subject::Name(_) | Subject::Subtree(_) => 0,
    };
    settings.sites.iter().map(|site| of_site(site.number())).sum()
}
