//! What applications may use.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Limits on what applications can have the server hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Applications of all users together.
    pub applications: usize,
    /// Applications of one user.
    pub applications_per_user: usize,
    /// Connections to the control socket of one user, attached or not.
    pub clients_per_user: usize,
    /// Slots of all applications together that are in use at once.
    pub slots: usize,
    /// Octets that these slots can come to hold.
    pub memory: u64,
    /// Octets of registered memory of one application.
    pub registered: u64,
    /// Pieces of registered memory of one application.
    pub memories: usize,
    /// Files of one application from which jobs send.
    pub files: usize,
    /// Octets of memory for what applications of all users publish. None: nothing is published.
    pub objects: u64,
    /// Octets of what one user has published, and somebody still holds.
    pub objects_per_user: u64,
    /// Objects that one application has found, at once.
    pub found_objects: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            applications: 256,
            applications_per_user: 64,
            clients_per_user: 1024,
            slots: 1 << 17,
            memory: 16 << 30,
            registered: 4 << 30,
            memories: 256,
            files: 1024,
            objects: 256 << 20,
            objects_per_user: 128 << 20,
            found_objects: 4096,
        }
    }
}

/// Counts what there is of something, up to a limit.
#[derive(Debug)]
pub(crate) struct Ceiling {
    used: AtomicUsize,
    most: usize,
}

impl Ceiling {
    pub(crate) fn new(most: usize) -> Ceiling {
        Ceiling { used: AtomicUsize::new(0), most }
    }

    /// Takes one more, if there is one.
    pub(crate) fn take(&self) -> bool {
        let more = |used| if used < self.most { Some(used + 1) } else { None };
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.used() < self.most
    }

    pub(crate) fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}
