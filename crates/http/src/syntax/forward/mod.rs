//! What a proxy sends on: heads written anew from what was parsed, octet for octet, never copied whole.
//!
//! [`ForwardedRequest`] is written to a backend, [`ForwardedResponse`] to a client or into a cache object. Of
//! what was received, only end-to-end fields go through (RFC 9110 §7.6.1); what frames a message, names its
//! host, or says who the client is, is written here and by nobody else. So what a peer sends cannot make two
//! readers behind us see two different messages.

mod edit;
pub(super) mod fuzz;
mod hop_by_hop;
mod provenance;
mod request;
mod response;
mod untrusted;

pub use edit::FieldEdit;
pub use hop_by_hop::{MAX_CONNECTION_OPTIONS, end_to_end};
pub use provenance::{ClientEnd, Provenance};
pub use request::{ForwardedRequest, RequestPolicy, accepts_trailers, max_forwards, passed_through};
pub use response::{ForwardedResponse, write_status_line};

/// How a proxy calls itself in Via, unless it is told otherwise.
pub const PSEUDONYM: &str = "afpa";
