//! An object as one engine holds it.

use std::fmt;
use std::mem::size_of;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use afpa_platform::memory::LocalExtent;
use afpa_platform::source::SourceFile;

use crate::body::Body;
use crate::fragment::FragmentPin;
use crate::layout::Layout;
use crate::object::Object;

/// An object in an engine's view.
pub struct Resident<D> {
    /// The object.
    pub object: Arc<Object<D>>,
    /// Its body, to pin and to keep while it is sent.
    pub body: Rc<ResidentBody>,
}

/// A body as one engine holds it: pins are counted without atomics. It stays whole after a purge,
/// until the last [`Rc`] is gone.
pub struct ResidentBody {
    head_len: u64,
    len: u64,
    layout: Layout,
    /// The only fragment of nearly every body, one step nearer than the others.
    first: Option<LocalExtent>,
    others: Box<[LocalExtent]>,
    /// Keeps the body's charge, and its file.
    body: Arc<Body>,
}

/// The next piece of a body.
#[derive(Debug)]
pub enum Piece {
    /// At most 64 KiB of pinned memory.
    Pinned(FragmentPin),
    /// A range of a file.
    File {
        /// The open file.
        file: Arc<SourceFile>,
        /// Its first octet to send.
        offset: u64,
        /// How many octets.
        length: u64,
    },
}

impl ResidentBody {
    /// Holds `body` on the current thread; `pins` counts the engine's pins. For bodies that are sent
    /// without being in a view.
    pub fn new(body: Arc<Body>, pins: &Arc<AtomicU64>) -> Rc<ResidentBody> {
        let mut fragments = body.fragments().iter().map(|extent| LocalExtent::new(extent.clone(), pins.clone()));
        let (first, others) = (fragments.next(), fragments.collect());
        Rc::new(ResidentBody { head_len: body.head_len(), len: body.len(), layout: body.layout(), first, others, body })
    }

    /// Octets of head and payload.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is neither head nor payload.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Octets of the immutable head: where the payload starts.
    #[inline]
    pub fn head_len(&self) -> u64 {
        self.head_len
    }

    /// The body that this is a hold on.
    pub fn body(&self) -> &Arc<Body> {
        &self.body
    }

    /// The largest piece that starts at `position` of head and payload and does not go beyond `end`.
    ///
    /// # Panics
    /// Unless `position < end <= len()`.
    #[inline]
    pub fn piece_at(&self, position: u64, end: u64) -> Piece {
        assert!(position < end && end <= self.len, "a piece beyond its body");
        if let Some(file) = self.body.file()
            && position >= self.head_len
        {
            return Piece::File { file: file.clone(), offset: position - self.head_len, length: end - position };
        }
        let (index, before) = self.layout.find(position);
        let fragment = self.fragment(index);
        let stop = (fragment.extent().len() as u64).min(end - before);
        Piece::Pinned(FragmentPin::new(fragment.pin((position - before) as usize..stop as usize)))
    }

    #[inline]
    fn fragment(&self, index: usize) -> &LocalExtent {
        match &self.first {
            Some(first) if index == 0 => first,
            _ => &self.others[index - 1],
        }
    }

    /// What a hold on a body with `fragments` fragments takes on the heap.
    pub(crate) const fn overhead(fragments: usize) -> u64 {
        let counts = 2 * size_of::<usize>();
        // A local extent is a counted pair of pointers.
        let each = size_of::<LocalExtent>() + counts + 2 * size_of::<usize>();
        (counts + size_of::<ResidentBody>() + fragments * each) as u64
    }
}

impl<D> Clone for Resident<D> {
    fn clone(&self) -> Self {
        Resident { object: self.object.clone(), body: self.body.clone() }
    }
}

impl<D> fmt::Debug for Resident<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resident").field(&self.object).finish()
    }
}

impl fmt::Debug for ResidentBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResidentBody").field(&self.body).finish()
    }
}
