//! What comes from backends, on its way through the cache to clients.
//!
//! - [`Relay`]: what an operator decides. [`RemoteHead`]: a response's head, judged once, when it arrives.
//! - [`Details`]: what is remembered of a stored response. [`store`]: how it gets into the cache. [`purge`]: how it gets out.
//! - [`key`]: under which keys it lies.

mod compression;
mod details;
mod head;
pub mod key;
mod part;
pub mod purge;
mod relay;
mod request;
mod routed;
pub(crate) mod store;

pub use details::{Details, Effect};
pub(crate) use details::{Presented, append_member};
pub(crate) use head::{RemoteHead, interim, trailer_lines};
pub use relay::{Forwarding, HashOn, Relay, RelayShared, RoutePlan};
pub(crate) use request::{Framing, RemoteRequest};
pub(crate) use routed::{EngineRelay, Routed};
