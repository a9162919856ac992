//! Which backends their traffic shows to be worse than the others.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::OutlierConfig;
use crate::state::{BackendState, Performance};

/// A backend gets no requests for a while.
#[derive(Clone, Debug)]
pub struct Ejection {
    /// Which one.
    pub backend: Arc<BackendState>,
    /// Until when.
    pub until: u64,
    /// Why.
    pub cause: EjectionCause,
}

/// Why a backend was ejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EjectionCause {
    /// It failed so many times in a row.
    Failures(u32),
    /// It failed more often than the others: this many thousandths of its requests succeeded.
    SuccessRate(u32),
    /// It took longer than the others: this mean, in nanoseconds.
    Latency(u64),
}

/// What engines share in order to eject. Stays when the configuration is read again.
#[derive(Debug, Default)]
pub(crate) struct Outliers {
    /// Held while one is ejected, so that engines together do not eject more than they may. That is rare.
    gate: Mutex<()>,
    /// When backends are compared next; zero: nobody has asked yet.
    next: AtomicU64,
}

impl Outliers {
    /// Ejects a backend that failed `in_a_row` times, if that is enough and not too many are ejected.
    pub(crate) fn failed(
        &self,
        config: &OutlierConfig,
        backends: &[Arc<BackendState>],
        backend: &Arc<BackendState>,
        in_a_row: u32,
        now: u64,
    ) -> Option<Ejection> {
        let is_enough = config.consecutive_failures > 0 && in_a_row >= config.consecutive_failures;
        is_enough.then(|| self.eject(config, backends, backend, EjectionCause::Failures(in_a_row), now)).flatten()
    }

    /// Compares all backends, if that is due. One engine does it for all.
    pub(crate) fn compare(&self, config: &OutlierConfig, backends: &[Arc<BackendState>], now: u64) -> Vec<Ejection> {
        let due = self.next.load(Relaxed);
        if now < due {
            return Vec::new();
        }
        let next = now.saturating_add(config.interval_ns);
        if self.next.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return Vec::new();
        }
        let performances: Vec<_> =
            backends.iter().map(|backend| (backend, backend.take_performance(), backend.is_ejected(now))).collect();
        // What ended before anybody looked does not make an interval.
        if due == 0 {
            return Vec::new();
        }
        let compared: Vec<_> = performances
            .iter()
            .filter(|(_, performance, ejected)| !ejected && performance.ended >= u64::from(config.min_requests))
            .map(|(backend, performance, _)| (*backend, *performance))
            .collect();
        let mut ejections = Vec::new();
        if compared.len() >= config.min_backends as usize {
            let outliers = by_success(config, &compared).into_iter().chain(by_latency(config, &compared));
            ejections.extend(outliers.filter_map(|(backend, cause)| self.eject(config, backends, backend, cause, now)));
        }
        let rested = performances.iter().filter(|(backend, _, ejected)| !ejected && !backend.is_ejected(now));
        rested.for_each(|(backend, ..)| backend.forgive());
        ejections
    }

    fn eject(
        &self,
        config: &OutlierConfig,
        backends: &[Arc<BackendState>],
        backend: &Arc<BackendState>,
        cause: EjectionCause,
        now: u64,
    ) -> Option<Ejection> {
        let _guard = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let ejected = backends.iter().filter(|backend| backend.is_ejected(now)).count();
        let most = backends.len() * config.max_percent as usize / 100;
        if backend.is_ejected(now) || ejected >= most {
            return None;
        }
        let until = backend.eject(config.base_ns, config.max_ns, now);
        Some(Ejection { backend: backend.clone(), until, cause })
    }
}

type Compared<'a> = (&'a Arc<BackendState>, Performance);
type Outlier<'a> = (&'a Arc<BackendState>, EjectionCause);

/// Those whose success rate is further below the mean than deviations allow, the worst first.
fn by_success<'a>(config: &OutlierConfig, compared: &[Compared<'a>]) -> Vec<Outlier<'a>> {
    if config.success_deviations == 0 {
        return Vec::new();
    }
    let rate = |performance: &Performance| 1.0 - performance.failures as f64 / performance.ended as f64;
    let count = compared.len() as f64;
    let mean = compared.iter().map(|(_, performance)| rate(performance)).sum::<f64>() / count;
    let variance = compared.iter().map(|(_, performance)| (rate(performance) - mean).powi(2)).sum::<f64>() / count;
    let least = mean - variance.sqrt() * f64::from(config.success_deviations) / 1000.0;
    let mut outliers: Vec<_> = compared
        .iter()
        .filter(|(_, performance)| rate(performance) < least)
        .map(|(backend, performance)| (*backend, (rate(performance) * 1000.0) as u32))
        .collect();
    outliers.sort_by_key(|(_, rate)| *rate);
    outliers.into_iter().map(|(backend, rate)| (backend, EjectionCause::SuccessRate(rate))).collect()
}

/// Those whose mean latency is more than so many percent of the median, the slowest first.
fn by_latency<'a>(config: &OutlierConfig, compared: &[Compared<'a>]) -> Vec<Outlier<'a>> {
    let mut latencies: Vec<_> = compared.iter().map(|(backend, performance)| (performance.latency, *backend)).collect();
    latencies.sort_by_key(|(latency, _)| *latency);
    // Of an even number the lower one: half of the backends must not hide the other half.
    let middle = latencies.len().saturating_sub(1) / 2;
    let Some((median, _)) = latencies.get(middle).filter(|_| config.latency_percent > 0) else { return Vec::new() };
    let most = u128::from(*median) * u128::from(config.latency_percent) / 100;
    let slow = latencies.iter().rev().take_while(|(latency, _)| u128::from(*latency) > most);
    slow.map(|(latency, backend)| (*backend, EjectionCause::Latency(*latency))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackendAddress;
    use crate::state::{FailureKind, Outcome};

    const FAILED: Outcome = Outcome::Failure(FailureKind::Timeout);

    fn backends(count: usize) -> Vec<Arc<BackendState>> {
        let address = || BackendAddress::Inet("192.0.2.1:80".parse().unwrap());
        (0..count).map(|n| Arc::new(BackendState::new(&n.to_string(), address(), 0))).collect()
    }

    fn serve(backend: &BackendState, outcome: Outcome, latency: u64, times: u32) {
        for _ in 0..times {
            backend.began();
            backend.ended(outcome, latency, true);
        }
    }

    #[test]
    fn the_one_that_fails_more_often_is_ejected() {
        let (config, backends) = (OutlierConfig::default(), backends(6));
        let outliers = Outliers::default();
        assert!(outliers.compare(&config, &backends, 1).is_empty(), "the first look starts the interval");
        for backend in &backends {
            serve(backend, Outcome::Success, 1000, 99);
            serve(backend, FAILED, 1000, 1);
        }
        serve(&backends[4], FAILED, 1000, 100);
        let early = config.interval_ns / 2;
        assert!(outliers.compare(&config, &backends, early).is_empty());
        let ejections = outliers.compare(&config, &backends, config.interval_ns + 1);
        let [ejection] = &ejections[..] else { panic!("{ejections:?}") };
        assert_eq!((ejection.backend.name(), ejection.cause), ("4", EjectionCause::SuccessRate(495)));
        assert!(backends[4].is_ejected(config.interval_ns + 1));
    }

    #[test]
    fn all_that_fail_alike_stay() {
        let (config, backends) = (OutlierConfig::default(), backends(6));
        let outliers = Outliers::default();
        outliers.compare(&config, &backends, 1);
        backends.iter().for_each(|backend| serve(backend, FAILED, 1000, 200));
        assert!(outliers.compare(&config, &backends, config.interval_ns + 1).is_empty());
    }

    #[test]
    fn the_slow_one_is_ejected() {
        let config = OutlierConfig { latency_percent: 300, ..OutlierConfig::default() };
        let (outliers, backends) = (Outliers::default(), backends(5));
        outliers.compare(&config, &backends, 1);
        for (backend, latency) in backends.iter().zip([100, 110, 310, 120, 900]) {
            serve(backend, Outcome::Success, latency, 100);
        }
        let ejections = outliers.compare(&config, &backends, config.interval_ns + 1);
        let causes: Vec<_> = ejections.iter().map(|ejection| (ejection.backend.name(), ejection.cause)).collect();
        assert_eq!(causes, [("4", EjectionCause::Latency(900))]);
    }

    #[test]
    fn too_few_to_compare_are_not_compared() {
        let (config, backends) = (OutlierConfig::default(), backends(6));
        let outliers = Outliers::default();
        outliers.compare(&config, &backends, 1);
        backends[..4].iter().for_each(|backend| serve(backend, Outcome::Success, 10, 100));
        serve(&backends[4], FAILED, 10, 99);
        serve(&backends[5], FAILED, 10, 99);
        assert!(outliers.compare(&config, &backends, config.interval_ns + 1).is_empty());
    }

    #[test]
    fn no_more_are_ejected_than_may_be() {
        let config = OutlierConfig { max_percent: 40, ..OutlierConfig::default() };
        let (outliers, backends) = (Outliers::default(), backends(6));
        let ejected: Vec<_> =
            backends.iter().map(|backend| outliers.failed(&config, &backends, backend, 5, 7).is_some()).collect();
        assert_eq!(ejected, [true, true, false, false, false, false]);
        let later = 7 + config.base_ns;
        assert!(outliers.failed(&config, &backends, &backends[5], 5, later).is_some(), "others have come back");
        assert!(outliers.failed(&config, &backends, &backends[4], 4, later).is_none(), "too few in a row");
    }
}
