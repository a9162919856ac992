//! A seeded network between two TCPs, for tests.
//!
//! - [`Network`] moves a clock and carries packets between two [`Endpoint`]s as a [`FaultPlan`] says: it loses,
//!   delays, duplicates, corrupts and refuses them. A plan is data, and follows from a seed.
//! - [`Host`] is an endpoint that drives an `afpa_tcp::Tcp` as a transport does, for [`Application`]s.
//! - [`Hostile`] is an endpoint that lies.
//! - [`Scenario`] is all of it from one seed: what fails can be run again.
//! - [`Script`] drives one TCP step by step: one file for each clause of an RFC.
//!
//! What does not hold panics, and the plan and the last packets are printed to the standard error output.
#![forbid(unsafe_code)]

mod application;
pub mod applications;
mod device;
mod flags;
mod host;
mod hostile;
pub mod icmp;
mod link;
mod network;
mod octets;
mod option;
mod plan;
mod scenario;
mod script;
mod segment;
mod trace;

pub use application::{Application, Calls, SharedTally, Tally};
pub use device::Style;
pub use flags::Flags;
pub use host::{Factory, Host};
pub use hostile::Hostile;
pub use link::{Carried, Link};
pub use network::{Endpoint, Network};
pub use octets::Octets;
pub use option::TcpOption;
pub use plan::{Chance, FaultPlan, Jump, LinkPlan};
pub use scenario::{Outcome, PORT, Purpose, Scenario};
pub use script::Script;
pub use segment::Segment;
pub use trace::Trace;
