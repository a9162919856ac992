//! A body: the octets of a response that do not change from one response to the next.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use afpa_platform::memory::Extent;
use afpa_platform::source::SourceFile;

use crate::checksum;
use crate::layout::Layout;
use crate::ledger::Charge;

/// One stream of octets: an immutable head, then a payload.
///
/// *Pinned*, both lie in fragments of at most 64 KiB: side by side in one if they are small, so that
/// they leave as one piece; otherwise the head in one of its own, and the payload in whole pages.
/// *File-backed*, the head alone is pinned and the payload is a file's first octets (AFPA §3.4's
/// second level).
pub struct Body {
    head_len: u32,
    payload_len: u64,
    layout: Layout,
    fragments: Box<[Arc<Extent>]>,
    file: Option<Arc<SourceFile>>,
    /// How many objects of the store have this body. Written under the store's lock.
    holders: AtomicU32,
    charge: Charge,
}

impl Body {
    pub(crate) fn new(
        head_len: u32,
        payload_len: u64,
        layout: Layout,
        fragments: Box<[Arc<Extent>]>,
        file: Option<Arc<SourceFile>>,
        charge: Charge,
    ) -> Arc<Body> {
        Arc::new(Body { head_len, payload_len, layout, fragments, file, holders: AtomicU32::new(0), charge })
    }

    /// Octets of head and payload.
    pub fn len(&self) -> u64 {
        u64::from(self.head_len) + self.payload_len
    }

    /// Whether there is neither head nor payload.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets of the immutable head.
    pub fn head_len(&self) -> u64 {
        u64::from(self.head_len)
    }

    /// Octets of the payload.
    pub fn payload_len(&self) -> u64 {
        self.payload_len
    }

    /// The file that the payload is sent from, if it is not pinned.
    pub fn file(&self) -> Option<&Arc<SourceFile>> {
        self.file.as_ref()
    }

    /// How the fragments share the octets.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// The pinned fragments, in order.
    pub fn fragments(&self) -> &[Arc<Extent>] {
        &self.fragments
    }

    /// Octets that the body takes of the cache's memory.
    pub(crate) fn weight(&self) -> u64 {
        self.charge.weight()
    }

    /// One more object of the store has this body; whether it is the first.
    pub(crate) fn hold(&self) -> bool {
        self.charge.set_leaving(false);
        self.holders.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// One object less has it.
    pub(crate) fn release(&self) {
        if self.holders.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.charge.set_leaving(true);
        }
    }

    /// What is kept about a body that is pinned so, beside its fragments.
    pub(crate) fn overhead(layout: Layout) -> u64 {
        let (fragments, pinned) = (layout.count(), layout.len());
        let counts = 2 * size_of::<usize>();
        let each = counts + size_of::<Extent>() + size_of::<Arc<Extent>>();
        let sums = pinned / checksum::STEP as u64 * size_of::<u16>() as u64;
        (counts + size_of::<Body>()) as u64 + fragments * each as u64 + sums
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("head_len", &self.head_len)
            .field("payload_len", &self.payload_len)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
