//! Bells: who has nothing to do goes to sleep, and is rung by who has something for it; nobody else is.
//!
//! The sleeper writes that it sleeps and looks once more whether something is there; who has something writes it and
//! looks whether somebody sleeps. A fence lies between the two on both sides, so one of them sees the other.
//!
//! Applications leave the announcement to the sleeper to take back. One of their threads that took it back, and is
//! stopped or killed before it rings, would leave the others with a sleeper who seems to be awake. The server may take
//! it back, which spares it ringing twice: its end is seen by all.

use std::sync::atomic::Ordering;

use crate::memory::{Memory, Word};

/// A bell in shared memory.
pub struct Bell<'a, M> {
    memory: &'a M,
    offset: usize,
}

impl<'a, M: Memory> Bell<'a, M> {
    /// The bell at `offset`.
    pub fn new(memory: &'a M, offset: usize) -> Bell<'a, M> {
        Bell { memory, offset }
    }

    /// Announces sleep. The caller looks for work once more before it sleeps.
    #[inline]
    pub fn sleep(&self) {
        self.word().store(1, Ordering::Relaxed);
        self.memory.fence();
    }

    /// Takes the announcement back.
    #[inline]
    pub fn wake(&self) {
        self.word().store(0, Ordering::Relaxed);
    }

    /// For the server: whether the sleeper has to be rung, which is then the caller's to do, and nobody else's. Something
    /// was [set](crate::bitmap::Bitmap::set) just before.
    #[inline]
    pub fn must_ring(&self) -> bool {
        self.word().load(Ordering::Relaxed) != 0 && self.word().swap(0, Ordering::AcqRel) != 0
    }

    /// For the application: whether the sleeper has to be rung, by whoever sees it, until it is awake. Something was set
    /// just before.
    #[inline]
    pub(crate) fn is_asleep(&self) -> bool {
        self.word().load(Ordering::Relaxed) != 0
    }

    fn word(&self) -> &'a M::Word {
        self.memory.word(self.offset)
    }
}
