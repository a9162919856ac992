//! What a shared HTTP cache may keep, use again, and must ask about, without input, output or clock: RFC 9111, with
//! stale responses (RFC 5861), immutable ones (RFC 8246), targeted directives (RFC 9213) and Cache-Status (RFC 9211).
//!
//! A miss: [`Policy::store`] says whether the response is kept, and what of it, as a [`Stored`]. A hit: its
//! [`Freshness`] is a few absolute times, so that [`Freshness::is_plainly_fresh`] is one comparison. In between:
//! [`conditional`] asks the origin, and [`Stored::refresh`] takes its 304. Octets and times, in seconds since 1970, are
//! arguments; no octets from outside make any of it panic.
#![forbid(unsafe_code)]

mod age;
pub mod conditional;
pub mod date;
mod directives;
mod fields;
mod freshness;
pub mod fuzz;
pub mod invalidation;
mod list;
mod message;
mod not_stored;
mod omitted;
mod partial;
mod policy;
mod refresh;
pub mod seconds;
mod status;
mod store;
mod stored;
pub mod surrogate;
pub mod uri;
mod validators;
pub mod vary;

pub use directives::{RequestDirectives, ResponseDirectives};
pub use fields::Fields;
pub use freshness::{Freshness, Reuse, Why};
pub use list::Members;
pub use message::{Request, Response, Times, is_safe};
pub use not_stored::NotStored;
pub use omitted::{MOST_NAMES, Omitted};
pub use partial::Partial;
pub use policy::{Cookies, Policy};
pub use refresh::{HeadEffect, OtherRepresentation, Refreshed};
pub use status::{CacheStatus, Handled};
pub use store::MOST_VARY;
pub use stored::Stored;
pub use validators::{LastModified, Validators};
