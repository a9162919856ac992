//! What the module remembers of a cache object.

use std::sync::Arc;

use crate::{files, remote};

/// One cache holds both, under one ceiling: what came from files, and what came from backends.
pub enum Kept {
    /// A file, or a representation of one.
    File(Arc<files::Details>),
    /// A response of a backend.
    Remote(Arc<remote::Details>),
    /// Nothing but the names, in lower case, of the request's fields that responses vary by: each lies under a key of
    /// its own.
    Varies(Box<[Box<[u8]>]>),
}

impl Kept {
    /// What is remembered of a file, if it came from one.
    pub fn file(&self) -> Option<&Arc<files::Details>> {
        match self {
            Kept::File(details) => Some(details),
            Kept::Remote(_) | Kept::Varies(_) => None,
        }
    }
}
