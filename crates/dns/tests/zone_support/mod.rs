//! What the tests of zones share.

pub(crate) mod generate;
pub(crate) mod message;
pub(crate) mod nsd;
