//! Cache objects, fragments and pins in pinned memory, with a view per engine (AFPA §3.4).
//!
//! The [`Cache`] is shared: objects by key, and the order in which they are evicted. Workers fill it
//! ([`Cache::fill`], [`Filling`]) and look into it; purges and evictions happen there. Each engine has
//! a [`View`]: its own table, its own use counts. A hit touches the view alone: no lock, no allocation,
//! no atomic read-modify-write, no octet of the payload.
//!
//! What is bounded, and what happens there:
//!
//! - All memory, by [`CacheConfig::capacity`]: heads and payloads with their rounding, keys, checksums,
//!   and every entry in the store and in each view (charged for all engines in advance). A new body
//!   evicts others (S3-FIFO); if their memory is still being sent after a moment, it is
//!   [`Refused::Full`].
//! - One body, by [`CacheConfig::max_pinned_object`]: [`Refused::TooLarge`]; it can be kept as a file.
//! - Open files, by [`Cache::set_max_files`]: the one that came first goes.
//! - The work of one [`View::apply`]; the waker is called again for the rest.
//! - An object that was purged, replaced or evicted is not found from that moment on, by nobody, and
//!   cannot be admitted by an engine that got it earlier. Responses that have begun are completed from
//!   its memory, which is free when the last pin is gone.
#![forbid(unsafe_code)]

pub mod checksum;

mod body;
mod eviction;
mod filling;
mod fragment;
mod ghosts;
mod hash;
mod layout;
mod ledger;
mod object;
mod refused;
mod resident;
mod shelf;
mod stats;
mod store;
mod uses;
mod view;

pub use body::Body;
pub use filling::Filling;
pub use fragment::FragmentPin;
pub use object::Object;
pub use refused::Refused;
pub use resident::{Piece, Resident, ResidentBody};
pub use stats::CacheStats;
pub use store::{Cache, CacheConfig};
pub use view::View;
