//! Sites: what becomes of requests, by host and path.
//!
//! - [`Site`], [`Route`]: the model. Its values are of the types of [`afpa_routing`].
//! - [`router`]: from a configuration to the router that engines ask.

mod model;
mod problems;
mod read;
mod router;
mod written;

pub use model::{Caching, Route, Site, Target};
pub(super) use problems::{field_names, problems, surroundings};
pub(super) use read::{conditions, read};
pub use router::{deferred, file_roots, router};
