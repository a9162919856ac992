//! Pinned memory: one mapping of a memfd, carved into extents that are written once and then shared.
//!
//! An [`Arena`] is carved into pages of 64 KiB and, below that, size classes that round a length up
//! by at most an eighth (or to 64 octets), and above 14 KiB to the kernel's pages. [`Arena::allocate`]
//! gives an [`ExtentMut`]; sealing it makes an immutable [`Extent`]; dropping the last reference returns
//! the range. On an engine, a [`LocalExtent`] counts pins without atomics, and a [`PinnedSlice`] is one pin.
//!
//! What is bounded: the arena never hands out more than its capacity; `allocate` answers `None` and
//! the caller frees something first. Memory is faulted in and locked 2 MiB at a time within
//! `allocate`, which workers call; nothing that an engine calls makes a system call or waits for one.
//!
//! An extent that has its pages to itself can be *lent* to the kernel by reference
//! ([`Pipe`](crate::pipe::Pipe)): those above 14 KiB do. Packets that were not acknowledged yet may refer to a
//! lent page after its extent is gone; its place is punched out of the file before it is used again, so
//! those packets keep the old page and its contents. A punch must remove pages, not clear them in place,
//! as the kernel does with a part of a huge page: blocks that hold what can be lent are therefore kept
//! free of huge pages, and blocks whose extents share pages ask for them.
//!
//! Or the arena is *registered* with a device that knows its memory by pages: then nothing is lent or
//! punched, all of it is faulted in at once, and the device's own buffers are pages of it. Memory that other
//! processes share can lie behind it, in the same range of addresses, so that the device knows it as well: a [`Pool`].

mod allocator;
mod arena;
mod extent;
mod frames;
mod mapping;
mod pin;
mod pool;
#[cfg(test)]
mod tests;

pub use arena::{AlreadyLent, Arena, ArenaStats};
pub use extent::{Extent, ExtentMut};
pub(crate) use frames::Frames;
pub use pin::{LocalExtent, PinnedSlice, SharedSlice};
pub(crate) use pool::Grant;
pub use pool::{Owner, Pool};

/// The largest extent, in octets: one page of the arena.
pub const MAX_EXTENT: usize = 64 * 1024;

/// The octets that an extent of `len` octets occupies, rounding included.
///
/// # Panics
/// Unless `len` is within `1..=MAX_EXTENT`.
pub fn footprint(len: usize) -> usize {
    assert!((1..=MAX_EXTENT).contains(&len), "an extent has 1 to {MAX_EXTENT} octets");
    allocator::rounded(len as u32) as usize
}
