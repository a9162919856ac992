//! Towards backends: whom to ask, what is sent, and what counts as its answer. Without input or output.
//!
//! A question takes these steps:
//!
//! 1. [`Flights::join`]: the first who misses an answer starts a flight, others wait for it.
//! 2. [`Flights::next_attempt`] chooses a backend of the [`Pool`], and [`build_query`] writes what goes there, in a
//!    conversation of its own. [`Pools::began`] counts it.
//! 3. [`Expected::receive`] looks at each message that arrives. What matches goes to [`Backend::learn`], what does
//!    not to [`Backend::mismatched`].
//! 4. [`Pools::ended`] counts the end of the attempt. [`Verdict::Answer`] ends the flight with [`Flights::finish`];
//!    anything else is a [`Setback`], and 2 follows.
//!
//! Checks run beside: [`Pools::due`], [`Pool::check`], [`Pools::checked`].

mod backend;
mod choice;
mod client_subnet;
mod cookie;
mod expected;
mod flights;
mod framing;
pub mod fuzz;
mod health;
mod pool;
mod query;
mod random;
mod waiters;
mod well_formed;

pub use backend::{Backend, BackendConfig, BackendCounters, BackendNotice, CASE_CHANGES, End};
pub use choice::Balance;
pub use client_subnet::{ClientSubnet, SubnetError};
pub use expected::{Expected, FLOOD, Matched, Mismatch, Received, Verdict};
pub use flights::{Attempt, Failure, Finished, FlightId, FlightLimits, Flights, Joined, NextAttempt, Setback, Ticket};
pub use framing::write_frame;
pub use health::{Health, HealthChange, HealthConfig, HealthEvent, HealthState, TRANSITIONS};
pub use pool::{
    BackendId, MAX_BACKENDS, MAX_POOLS, Pool, PoolConfig, PoolError, PoolId, PoolProblem, Pools, SubnetPolicy,
};
pub use query::{Ask, UDP_SIZE, build_query};
pub use random::Random;
