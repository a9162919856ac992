//! What the module remembers of a cache object.

use std::sync::Arc;

use crate::files;

/// One cache holds both, under one ceiling: what came from files, and what came from backends.
pub enum Kept {
    /// A file, or a representation of one.
    File(Arc<files::Details>),
}

impl Kept {
    /// What is remembered of a file, if it came from one.
    pub fn file(&self) -> Option<&Arc<files::Details>> {
        match self {
            Kept::File(details) => Some(details),
        }
    }
}
