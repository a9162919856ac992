//! What other servers do, as an operator sees it.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use afpa_balancing::PoolState;
use afpa_http::fetch::Fetch;
use afpa_http::quality::QualityPlan;
use afpa_http::remote::Relay;
use afpa_http::{Http, TopKey};
use afpa_platform::clock;

use super::engine::Seat;
use super::pools::Pools;
use crate::stats::{self, Backend, Class, Key, Pool};

/// How long engines may take to answer; they do between two passes.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many of the keys that are asked for most are told.
const MOST_KEYS: usize = 20;

/// What engines tell when they are asked.
#[derive(Default)]
pub(super) struct Told {
    keys: Vec<TopKey>,
    /// Requests that wait, by pool.
    waiting: HashMap<String, u64>,
}

impl Told {
    /// Asks all engines that have backends.
    pub(super) fn by(seats: &[Seat]) -> Told {
        // All are asked before the first answer is waited for.
        let asked: Vec<_> = seats.iter().filter_map(ask).collect();
        let deadline = Instant::now() + PATIENCE;
        let mut told = Told::default();
        for answer in asked {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((keys, waiting)) = answer.recv_timeout(left) else { continue };
            told.keys.extend(keys);
            for (pool, count) in waiting {
                *told.waiting.entry(pool).or_default() += count;
            }
        }
        told
    }

    /// The keys that are asked for most.
    pub(super) fn top_keys(&self) -> Vec<Key> {
        let mut sums: HashMap<&[u8], (u64, u64)> = HashMap::new();
        for key in &self.keys {
            let (weight, requests) = sums.entry(&key.key).or_default();
            (*weight, *requests) = (*weight + key.weight, *requests + key.requests);
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by(|(one, (of_one, _)), (other, (of_other, _))| of_other.cmp(of_one).then_with(|| one.cmp(other)));
        let key = |(key, (_, requests)): (&[u8], _)| Key { key: String::from_utf8_lossy(key).into_owned(), requests };
        sums.into_iter().take(MOST_KEYS).map(key).collect()
    }

    /// Every pool, by name.
    pub(super) fn pools(&self, pools: &Pools) -> Vec<Pool> {
        pools.states().iter().map(|state| self.pool(state)).collect()
    }

    fn pool(&self, state: &PoolState) -> Pool {
        let (name, now) = (state.config().name.clone(), clock::now());
        let backends = state.backends().iter().zip(&state.config().backends).map(|(backend, config)| {
            let counters = backend.counters();
            Backend {
                name: backend.name().to_owned(),
                address: backend.address().to_string(),
                healthy: backend.is_healthy(),
                ejected: backend.is_ejected(now),
                draining: config.draining,
                weight: config.weight,
                active: counters.active,
                requests: counters.requests,
                failures: counters.failures,
                sent_octets: counters.sent,
                received_octets: counters.received,
                latency_us: backend.latency() as f64 / 1e3,
                checks_passed: counters.checks_passed,
                checks_failed: counters.checks_failed,
                ejections: counters.ejections,
            }
        });
        Pool { waiting: self.waiting.get(&name).copied().unwrap_or(0), backends: backends.collect(), name }
    }
}

/// What is under way.
pub(super) fn relay(relay: &Relay) -> stats::Relay {
    let (shared, purges) = (&relay.shared, &relay.shared.purges);
    stats::Relay {
        flights: shared.flights_under_way() as u64,
        held_octets: shared.octets_held(),
        purges: purges.count(),
        purges_unswept: purges.unswept() as u64,
        swept_objects: purges.swept(),
    }
}

/// Classes of requests, if there are any.
pub(super) fn classes(relay: &Relay) -> Vec<Class> {
    let totals = relay.quality.iter().flat_map(QualityPlan::totals);
    let class = |class: afpa_http::quality::ClassTotals| Class {
        name: class.name,
        priority: class.priority,
        weight: class.weight,
        requests: class.requests,
        refused: class.refused,
        waiting: class.waiting,
        running: class.running,
    };
    totals.map(class).collect()
}

type Answer = (Vec<TopKey>, Vec<(String, u64)>);

fn ask(seat: &Seat) -> Option<Receiver<Answer>> {
    let http = seat.http.as_ref()?;
    let (owner, fetcher) = (http.owner, http.fetch.as_ref()?.owner);
    let (answer, answered) = channel();
    seat.handle.command(move |control| {
        let keys = control.global::<Http>(owner).map(|global| global.top_keys()).unwrap_or_default();
        let waiting = control.global::<Fetch>(fetcher).map(|global| global.waiting()).unwrap_or_default();
        // Who asked may have lost patience.
        let _ = answer.send((keys, waiting));
    });
    Some(answered)
}
