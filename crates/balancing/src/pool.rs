//! A pool as engines share it.

use std::sync::Arc;

use crate::config::{PoolConfig, Strategy};
use crate::outliers::{Ejection, Outliers};
use crate::state::BackendState;
use crate::strategy::Maglev;

/// A pool: how it is configured, and what is known of its backends. Made by a [`Registry`](crate::Registry).
#[derive(Debug)]
pub struct PoolState {
    config: PoolConfig,
    backends: Vec<Arc<BackendState>>,
    maglev: Option<Maglev>,
    outliers: Arc<Outliers>,
}

impl PoolState {
    /// `backends` are those of `config`, in its order.
    pub(crate) fn new(config: PoolConfig, backends: Vec<Arc<BackendState>>, outliers: Arc<Outliers>) -> PoolState {
        let maglev = match config.strategy {
            Strategy::ConsistentHash(maglev) => Some(Maglev::new(&config.backends, maglev.table)),
            _ => None,
        };
        PoolState { config, backends, maglev, outliers }
    }

    /// How it is configured, host names resolved.
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// Its backends, in the order of the configuration.
    pub fn backends(&self) -> &[Arc<BackendState>] {
        &self.backends
    }

    pub(crate) fn maglev(&self) -> Option<&Maglev> {
        self.maglev.as_ref()
    }

    /// Looks at what an attempt's end says of its backend, and compares all of them if that is due.
    pub(crate) fn judge(&self, backend: &Arc<BackendState>, in_a_row: u32, now: u64) -> Vec<Ejection> {
        let Some(config) = &self.config.outliers else { return Vec::new() };
        let mut ejections = self.outliers.compare(config, &self.backends, now);
        ejections.extend(self.outliers.failed(config, &self.backends, backend, in_a_row, now));
        ejections
    }
}
