//! Answers as they are kept and served: keys, images, what is remembered of them.
//!
//! An answer is kept as the *image* of a message: a message of which everything is done but what differs from client
//! to client. [`Prepared::of`] makes it from what a backend sent, [`Prepared::insert`] puts it into the platform's
//! cache under a [`key`], and [`Image::serve`] answers a query with it: one copy, then ID, flags, the letter case of
//! the question, TTLs and OPT.
//!
//! What an entry takes of the cache's ceiling, in octets:
//!
//! | for | octets |
//! |---|---|
//! | the image | its length, about 30 + 16 for an address of a short name |
//! | the [places](Image) behind it | 2 for each record, 4 for each RRset of the additional section but one |
//! | the key | the name's length + 5; with a subnet, its prefix + 2 |
//! | [`Details`] | 48, and nothing on the heap |
//! | what the platform keeps of any object | 469, and 173 for each engine |
//!
//! Image and places are rounded up to the arena's size class, which is a multiple of 64 up to 512. With one engine, an
//! address of `www.example.` comes to 64 + 18 + 48 + 469 + 173 = 772. Nothing of an entry goes uncounted.

pub mod fuzz;

mod details;
mod insert;
mod key;
mod policy;
mod prepared;
mod rewrite;
mod serve;
mod suffixes;
mod survey;

pub use details::{Details, Freshness, Kind};
pub use insert::NotKept;
pub use key::{KeyFlags, Subnet, is_of_name, is_within, key};
pub use policy::Policy;
pub use prepared::{Image, Prepared, Uncacheable};
pub use serve::{Request, Served};
