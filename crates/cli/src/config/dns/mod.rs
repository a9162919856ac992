//! DNS: what is answered from zones and what by other servers, to whom, and within which limits.
//!
//! - [`Dns`]: the model, with its defaults. Its values are of the types of [`afpa_dns`].
//! - [`domain_name`], [`Address`]: how some are written.

mod address;
mod hidden;
mod model;
mod problems;
mod read;
mod written;

pub use address::Address;
pub use model::{Backend, Cache, Clients, Cookies, DEFAULT_POOL, Dns, Limits, Pool, RateLimit, Route, Zone};
pub(super) use problems::{problems, surroundings};
pub(super) use read::read;
pub use written::domain_name;
