//! DNS: what is answered from zones and what by other servers, to whom, and within which limits.
//!
//! - [`Dns`]: the model, with its defaults.
//! - [`DomainName`], [`Network`], [`RecordType`], [`Class`], [`Address`], [`Secret`]: how its values are written.

mod address;
mod hidden;
mod model;
mod name;
mod network;
mod number;
mod problems;
mod read;
mod secret;

pub use address::Address;
pub use model::{
    Answer, Backend, Balance, Cache, ClientSubnet, Clients, Cookies, DEFAULT_POOL, Dns, Limits, Pool, RateLimit, Route,
    Target, Zone,
};
pub use name::DomainName;
pub use network::Network;
pub use number::{Class, RecordType};
pub(super) use problems::{problems, surroundings};
pub(super) use read::read;
pub use secret::Secret;
