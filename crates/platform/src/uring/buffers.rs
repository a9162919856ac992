//! The ring's receive buffers, provided to the kernel through a shared queue.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Buffers of one size. The kernel takes one per receive; we put it back when it has been looked at.
pub(super) struct Buffers {
    /// The queue that the kernel reads, page-aligned, followed by nothing.
    queue: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    count: u16,
    size: usize,
    /// Where the next buffer is put, published at the end of a pass.
    tail: u16,
}

impl Buffers {
    /// `count` buffers, a power of two, of `size` octets, all given to the kernel. Operations name the `group`,
    /// which is the ring's only one of this number.
    pub(super) fn register(ring: &IoUring, group: u16, count: u16, size: usize) -> io::Result<Buffers> {
        assert!(count.is_power_of_two());
        let queue = map(usize::from(count) * size_of::<BufRingEntry>())?.cast();
        let memory = map(usize::from(count) * size)?;
        let mut buffers = Buffers { queue, memory, count, size, tail: 0 };
        // SAFETY: the queue is page-aligned and holds `count` entries; it is unmapped only after the
        // ring's operations have ended, or never.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(queue.as_ptr() as u64, count, group, 0)?;
        }
        for buffer in 0..count {
            buffers.recycle(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// What the kernel wrote into a buffer that it has given to us.
    pub(super) fn octets(&self, buffer: u16, length: u32) -> &[u8] {
        assert!(buffer < self.count && length as usize <= self.size, "a buffer that is not ours");
        // SAFETY: within the mapping; the kernel has completed its write, and writes again only after
        // `recycle`, which takes `&mut self`.
        unsafe {
            std::slice::from_raw_parts(self.memory.as_ptr().add(usize::from(buffer) * self.size), length as usize)
        }
    }

    /// Puts a buffer back; the kernel sees it after [`Buffers::publish`].
    pub(super) fn recycle(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (self.count - 1));
        // SAFETY: `place` is below `count`. The kernel reads entries below the published tail only,
        // and at most `count` buffers exist, so that it has taken what lay here before. The tail that
        // shares the first entry's memory is not among the fields written.
        unsafe {
            let entry = &mut *self.queue.as_ptr().add(place);
            entry.set_addr(self.memory.as_ptr().add(usize::from(buffer) * self.size) as u64);
            entry.set_len(self.size as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel the buffers that were put back.
    pub(super) fn publish(&mut self) {
        // SAFETY: the tail lies within the queue, is aligned, and is read by the kernel atomically.
        let tail = unsafe { &*BufRingEntry::tail(self.queue.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// Keeps the memory for ever: the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        self.count = 0;
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.count > 0 {
            // SAFETY: both were mapped with these lengths, and no operation uses them any more.
            unsafe {
                libc::munmap(self.queue.as_ptr().cast(), usize::from(self.count) * size_of::<BufRingEntry>());
                libc::munmap(self.memory.as_ptr().cast(), usize::from(self.count) * self.size);
            }
        }
    }
}

fn map(length: usize) -> io::Result<NonNull<u8>> {
    let (access, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE);
    // SAFETY: a new mapping, placed by the kernel.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(address.cast()).ok_or_else(|| io::Error::other("a mapping at address zero"))
}
