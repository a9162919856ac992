//! The half of a socket that receives.

use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::slice;

use super::link::Link;
use super::ring::{Completions, Descriptor, Submissions};
use crate::memory::Frames;

/// How many chunks may wait for the kernel to see them again.
const BATCH: u32 = 64;
/// The largest frame of several chunks, in octets; larger ones are dropped. An Ethernet header with a tag, and
/// the largest IPv4 packet: the kernel's generic mode shows segments that were not cut yet.
const LARGEST: usize = 18 + 65_535;
/// Octets at the start of the next frame that are fetched while one is handled: its headers, and most
/// requests.
const FETCHED: usize = 256;
const CACHE_LINE: usize = 64;

/// Frames that arrived, in the order in which they did.
pub struct Receiver {
    link: Rc<Link>,
    received: Completions<Descriptor>,
    fill: Submissions<u64>,
    /// The chunk of the frame that is lent out.
    lent: Option<u64>,
    /// Chunks that the kernel does not see yet.
    unpublished: u32,
    /// Where a frame of several chunks is put together.
    scratch: Vec<u8>,
    assembly: Assembly,
    oversized: u64,
}

/// What is known of a frame of several chunks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Assembly {
    /// None has begun.
    None,
    /// Its first chunks are in the scratch buffer.
    Begun,
    /// It is too large; the rest of it is dropped.
    Dropped,
}

impl Receiver {
    pub(super) fn new(link: Rc<Link>) -> Receiver {
        let (received, mut fill) = link.receive_queues();
        // As many as the queue has entries, so that there is always room for one that comes back.
        for chunk in link.receive_chunks().take(link.receive_entries as usize) {
            fill.add(chunk);
        }
        fill.publish();
        Receiver {
            link,
            received,
            fill,
            lent: None,
            unpublished: 0,
            scratch: Vec::new(),
            assembly: Assembly::None,
            oversized: 0,
        }
    }

    /// Shows at most `budget` frames to `each`, where they lie, and returns how many there were.
    pub fn receive(&mut self, budget: usize, each: &mut dyn FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < budget {
            let Some(frame) = self.next_frame() else { break };
            each(frame);
            count += 1;
        }
        self.release();
        count
    }

    /// The next frame, if there is one. The one before goes back to the kernel. Its octets are where the
    /// kernel put them; a frame of several chunks (jumbo frames) is put together elsewhere.
    ///
    /// Whoever stops before there is none calls [`Receiver::release`].
    #[inline]
    pub fn next_frame(&mut self) -> Option<&[u8]> {
        self.give_back();
        loop {
            let descriptor = match self.received.take() {
                Some(descriptor) => descriptor,
                None => self.look_again()?,
            };
            let is_last = descriptor.options & Descriptor::CONTINUED == 0;
            self.lent = Some(descriptor.address);
            if is_last && self.assembly == Assembly::None {
                self.fetch_next();
                // SAFETY: the chunk is given back by the next call that takes `&mut self`.
                return Some(unsafe { octets(&self.link, &descriptor) });
            }
            self.assemble(&descriptor);
            self.give_back();
            if is_last && std::mem::replace(&mut self.assembly, Assembly::None) == Assembly::Begun {
                return Some(&self.scratch);
            }
        }
    }

    /// Gives all chunks of frames that were shown back to the kernel.
    pub fn release(&mut self) {
        self.give_back();
        if self.unpublished > 0 {
            self.publish();
        }
        if self.link.zero_copy && self.fill.needs_wakeup() {
            self.wake();
        }
    }

    /// Frames that were dropped because they exceed the largest IPv4 packet.
    pub fn oversized(&self) -> u64 {
        self.oversized
    }

    /// Makes the kernel look for frames: what a driver that ran out of chunks waits for, and what drives a
    /// device that is polled busily.
    pub fn wake(&self) {
        // SAFETY: receives no octets, so that no memory is written. Any answer is right: frames show up in
        // the queue.
        unsafe {
            libc::recv(self.link.socket().as_raw_fd(), std::ptr::null_mut(), 0, libc::MSG_DONTWAIT);
        }
    }

    /// Gives all chunks back when no frame is there, and looks for one if that takes a system call.
    #[cold]
    fn look_again(&mut self) -> Option<Descriptor> {
        self.release();
        if !self.link.busy_poll {
            return None;
        }
        self.wake();
        self.received.take()
    }

    fn give_back(&mut self) {
        if let Some(address) = self.lent.take() {
            self.fill.add(address & !(Frames::CHUNK as u64 - 1));
            self.unpublished += 1;
            if self.unpublished >= BATCH {
                self.publish();
            }
        }
    }

    fn publish(&mut self) {
        self.fill.publish();
        self.received.release();
        self.unpublished = 0;
    }

    /// Adds a chunk to the frame that is put together.
    fn assemble(&mut self, descriptor: &Descriptor) {
        if self.assembly == Assembly::None {
            self.scratch.clear();
            self.assembly = Assembly::Begun;
        }
        // SAFETY: the chunk is given back after this.
        let piece = unsafe { octets(&self.link, descriptor) };
        if self.assembly == Assembly::Begun && self.scratch.len() + piece.len() > LARGEST {
            self.assembly = Assembly::Dropped;
            self.oversized += 1;
        }
        if self.assembly == Assembly::Begun {
            self.scratch.extend_from_slice(piece);
        }
    }

    /// Has the processor fetch the start of the frame behind the one that is lent out.
    #[inline]
    fn fetch_next(&mut self) {
        let Some(next) = self.received.peek() else { return };
        let length = (next.length as usize).min(FETCHED);
        let start = self.link.at(next.address, length);
        for offset in (0..length).step_by(CACHE_LINE) {
            prefetch(start.as_ptr().wrapping_add(offset));
        }
    }
}

/// The octets that a descriptor from the kernel stands for.
///
/// # Safety
/// The result must not be used after the descriptor's chunk was put into the fill queue.
#[inline]
unsafe fn octets<'a>(link: &Link, descriptor: &Descriptor) -> &'a [u8] {
    let length = descriptor.length as usize;
    let within = (descriptor.address as usize) % Frames::CHUNK;
    assert!(within + length <= Frames::CHUNK, "a piece of a frame beyond its chunk");
    // SAFETY: within the arena's mapping (`at`), and within one chunk that the kernel took from the fill
    // queue: it belongs to the receiver, is initialised (memory of a file always is), and is not written
    // before it is put into that queue again.
    unsafe { slice::from_raw_parts(link.at(descriptor.address, length).as_ptr(), length) }
}

#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; it has no effect on what any address holds.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
