//! The four queues that a socket shares with the kernel: one writes a queue, the other reads it.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// A frame, or a part of one, as the rings for receiving and sending describe it (`struct xdp_desc`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    /// Where its octets begin in the arena.
    pub(super) address: u64,
    /// Octets.
    pub(super) length: u32,
    /// [`Descriptor::CONTINUED`] or nothing.
    pub(super) options: u32,
}

impl Descriptor {
    /// The frame goes on with the next descriptor.
    pub(super) const CONTINUED: u32 = libc::XDP_PKT_CONTD;
}

/// A queue's memory, mapped from its socket.
pub(super) struct RingMap {
    base: NonNull<u8>,
    length: usize,
    offsets: libc::xdp_ring_offset,
    entries: u32,
}

impl RingMap {
    /// Maps the queue of `entries` entries of type `T` that the socket has at `page_offset`.
    pub(super) fn map<T>(
        socket: BorrowedFd<'_>,
        offsets: libc::xdp_ring_offset,
        entries: u32,
        page_offset: u64,
    ) -> io::Result<RingMap> {
        assert!(entries.is_power_of_two());
        let length = offsets.desc as usize + entries as usize * size_of::<T>();
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        let page_offset = libc::off_t::try_from(page_offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping, placed by the kernel.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, socket.as_raw_fd(), page_offset) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(address.cast()).ok_or_else(|| io::Error::other("a mapping at address zero"))?;
        Ok(RingMap { base, length, offsets, entries })
    }

    /// # Safety
    /// `offset` must be one that the kernel gave for a 32-bit index of this queue.
    unsafe fn index(&self, offset: u64) -> NonNull<AtomicU32> {
        // SAFETY: the kernel's offsets lie within the mapping and are aligned.
        unsafe { self.base.add(offset as usize) }.cast()
    }
}

impl Drop for RingMap {
    fn drop(&mut self) {
        // SAFETY: mapped with this length; whoever points into the mapping keeps it alive.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

/// What both ends of a queue have in common.
struct Ends<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
    _entry: PhantomData<T>,
}

impl<T: Copy> Ends<T> {
    /// # Safety
    /// The map must be of entries of type `T`, and outlive the result.
    unsafe fn new(map: &RingMap) -> Ends<T> {
        let offsets = &map.offsets;
        // SAFETY: the offsets are the kernel's own for this queue, and its entries begin at `desc`.
        unsafe {
            Ends {
                producer: map.index(offsets.producer),
                consumer: map.index(offsets.consumer),
                flags: map.index(offsets.flags),
                entries: map.base.add(offsets.desc as usize).cast(),
                mask: map.entries - 1,
                _entry: PhantomData,
            }
        }
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: the map outlives `self` (see `new`); both sides access the index atomically.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }
    }

    fn needs_wakeup(&self) -> bool {
        // SAFETY: as above.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    fn entry(&self, index: u32) -> *mut T {
        self.entries.as_ptr().wrapping_add((index & self.mask) as usize)
    }
}

/// A queue that we write and the kernel reads: frames to fill, frames to send.
pub(super) struct Submissions<T> {
    ends: Ends<T>,
    /// Where the next entry goes; published up to [`Submissions::publish`].
    next: u32,
}

impl<T: Copy> Submissions<T> {
    /// # Safety
    /// The map must be of entries of type `T`, outlive the result, and be used by it alone.
    pub(super) unsafe fn new(map: &RingMap) -> Submissions<T> {
        // SAFETY: passed on to the caller.
        let ends = unsafe { Ends::new(map) };
        let next = ends.producer().load(Ordering::Relaxed);
        Submissions { ends, next }
    }

    /// Adds an entry. The caller knows that there is room: no more entries are under way than the queue
    /// has.
    pub(super) fn add(&mut self, entry: T) {
        // SAFETY: the index is masked. The kernel reads published entries only, and this one is not: at
        // most as many entries are under way as the queue has, so that it has read what lay here.
        unsafe { self.ends.entry(self.next).write_volatile(entry) };
        self.next = self.next.wrapping_add(1);
    }

    /// Takes out the last `count` entries that were added since the last [`Submissions::publish`].
    pub(super) fn take_back(&mut self, count: u32) {
        self.next = self.next.wrapping_sub(count);
    }

    /// Shows the kernel what was added.
    pub(super) fn publish(&mut self) {
        self.ends.producer().store(self.next, Ordering::Release);
    }

    /// The published entries that the kernel has not read yet.
    pub(super) fn unread(&self) -> u32 {
        self.next.wrapping_sub(self.ends.consumer().load(Ordering::Acquire))
    }

    /// Whether the kernel waits for a system call before it reads on.
    pub(super) fn needs_wakeup(&self) -> bool {
        // What was published must be visible before the kernel's flag is read, or both sides may wait.
        std::sync::atomic::fence(Ordering::SeqCst);
        self.ends.needs_wakeup()
    }

    /// Overwrites every entry, published or not.
    pub(super) fn overwrite(&mut self, entry: T) {
        for index in 0..=self.ends.mask {
            // SAFETY: within the queue; the kernel copies entries and checks them, so that it may see
            // the old one or the new one.
            unsafe { self.ends.entry(index).write_volatile(entry) };
        }
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// A queue that the kernel writes and we read: frames received, frames sent.
pub(super) struct Completions<T> {
    ends: Ends<T>,
    next: u32,
    /// The end of the entries that the kernel is known to have written.
    end: u32,
}

impl<T: Copy> Completions<T> {
    /// # Safety
    /// As [`Submissions::new`], and every pattern of bits must be a `T`.
    pub(super) unsafe fn new(map: &RingMap) -> Completions<T> {
        // SAFETY: passed on to the caller.
        let ends = unsafe { Ends::new(map) };
        let next = ends.consumer().load(Ordering::Relaxed);
        Completions { ends, next, end: next }
    }

    /// The next entry, which stays.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<T> {
        if self.next == self.end {
            self.end = self.ends.producer().load(Ordering::Acquire);
            if self.next == self.end {
                return None;
            }
        }
        // SAFETY: the kernel has written this entry and does not write it again before it is released.
        Some(unsafe { self.ends.entry(self.next).read_volatile() })
    }

    /// Takes the next entry away.
    #[inline]
    pub(super) fn take(&mut self) -> Option<T> {
        let entry = self.peek()?;
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Lets the kernel write again where entries were taken away.
    pub(super) fn release(&mut self) {
        self.ends.consumer().store(self.next, Ordering::Release);
    }
}
