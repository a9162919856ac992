//! Which backend of a pool a request goes to, and what is known of each. Without input, output or a clock: times are
//! nanoseconds of a monotonic clock and arguments, and so are the seeds of what is drawn by lot.
//!
//! The control plane owns a [`Registry`]. From each [`PoolConfig`] it makes a [`PoolState`], which engines share: the
//! [`BackendState`] of each backend, and tables that are too large to have twice. What is known of a backend stays when
//! the configuration is read again, as long as its name and address stay. A pool that changes is handed to engines
//! through a [`Published`].
//!
//! An engine has a [`Balancer`] for each pool, and takes a request through these steps:
//!
//! 1. [`Balancer::admit`] says whether it goes to a backend, waits in a [`Waiting`], or is refused.
//! 2. [`Balancer::began`] and [`Balancer::ended`] frame each attempt; [`Balancer::connected`] and
//!    [`Balancer::disconnected`] each connection.
//! 3. [`Retries`] say whether a failed attempt may be repeated elsewhere, [`Hedging`] whether a slow one is doubled.
//! 4. [`Balancer::set_cookie`] keeps a client with its backend.
#![forbid(unsafe_code)]

mod balancer;
mod budget;
mod candidates;
mod config;
pub mod fuzz;
mod hash;
mod hedging;
mod outliers;
mod pool;
mod problem;
mod published;
mod quantiles;
mod random;
mod registry;
mod retries;
mod state;
mod sticky;
mod strategy;
mod waiting;

pub use balancer::{Admission, BackendIndex, Balancer, Choice, Unavailable};
pub use budget::{Budget, BudgetConfig};
pub use config::{
    AllUnhealthy, BackendAddress, BackendConfig, LocalityConfig, MAX_BACKENDS, MAX_POOLS, MAX_TABLE, MAX_TARGETS,
    MAX_WEIGHT, MaglevConfig, OutlierConfig, PoolConfig, Strategy,
};
pub use hash::{hash, is_prime};
pub use hedging::{ENOUGH, HedgeConfig, HedgeDelay, Hedgeable, Hedging};
pub use outliers::{Ejection, EjectionCause};
pub use pool::PoolState;
pub use problem::{PoolError, PoolProblem};
pub use published::Published;
pub use quantiles::Quantiles;
pub use random::Random;
pub use registry::Registry;
pub use retries::{FailedAttempt, Retries, RetryConfig, is_idempotent, is_safe};
pub use state::{BackendCounters, BackendState, FailureKind, HealthChange, Outcome};
pub use sticky::{SameSite, StickyConfig, Token};
pub use waiting::{WaitHandle, Waiting};
