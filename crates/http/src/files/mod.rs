//! The worker side of *derive uncached response* (AFPA §3.2) for files: from a site and a request's
//! key to a cache object.
//!
//! Everything here may block, so all of it runs on worker threads, and [`Watch`] on a thread of its
//! own. [`fill`] answers one miss: it finds the file without leaving the site (`resolve`), chooses
//! among its representations (`representation`), reads it whole or not at all, and inserts an object
//! whose [`Details`] answer conditional, range and HEAD requests without touching the file again.
//! [`Watch`] takes objects out of the cache when what they were made from changes.
//!
//! Bounds: one fill holds at most one file of [`SiteOptions::max_pinned_object`] octets in the cache's
//! memory plus twice [`MAX_COMPRESSED`] on the heap; a file that keeps
//! changing is given up after a fixed number of attempts; a listing has a fixed number of entries;
//! watches have a limit in [`SiteOptions`], and files that stay open have one in the cache.

mod coding;
mod compress;
mod dependencies;
mod details;
mod error;
mod fill;
mod flights;
mod key;
mod listing;
mod notifier;
mod representation;
mod resolve;
mod site;
mod stamp;
mod watch;

pub use coding::{Coding, Codings};
pub use compress::{MAX_COMPRESSED, MIN_COMPRESSED};
pub(crate) use compress::{compress, tag};
pub use details::{Details, LastModified};
pub use error::FileError;
pub use fill::{FillOutcome, fill};
pub use key::{RequestKey, purge_under, purge_url};
pub use listing::MAX_ENTRIES;
pub use site::{CacheRule, Selector, Site, SiteOptions};
pub use stamp::Stamp;
pub use watch::Watch;
