//! Answers as they are kept and served: keys, images, what is remembered of them.
//!
//! An answer is kept as the *image* of a message: a message of which everything is done but what differs from client
//! to client. [`Prepared::of`] makes it from what a backend sent, [`Prepared::insert`] puts it into the platform's
//! cache under a [`key`], and [`Image::serve`] answers a query with it: one copy, then ID, flags, the letter case of
//! the question, TTLs and OPT.
//!
//! An entry takes, of the cache's ceiling: the image and, behind it, [two octets for each record and four for each
//! RRset of the additional section](Image), rounded up to the arena's size class; the key, which is the name and five
//! octets, and with a subnet two octets and its prefix more; [`Details`], which own nothing on the heap; and what the
//! platform charges for any object and its place in each view. Nothing of an entry goes uncounted.

mod details;
pub mod fuzz;
mod insert;
mod key;
mod policy;
mod prepared;
mod rdata;
mod serve;
mod survey;

pub use details::{Details, Freshness, Kind};
pub use insert::NotKept;
pub use key::{KeyFlags, Subnet, is_of_name, is_within, key};
pub use policy::Policy;
pub use prepared::{Image, Prepared, Uncacheable};
pub use serve::{Request, Served};
