//! Names of connections and listeners.

/// Names a connection. The generation counts the uses of its slot, so a stale handle is told from a live
/// one, and every method takes a stale one without harm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle {
    /// The slot, below 2^24.
    pub index: u32,
    /// The use of the slot.
    pub generation: u32,
}

/// Names a listener: a place that [`Tcp::listen`](crate::Tcp::listen) gave to it. Used again after [`Tcp::unlisten`](crate::Tcp::unlisten).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerIndex(pub u16);
