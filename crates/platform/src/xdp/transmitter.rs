//! The half of a socket that sends.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use super::flight::{Flight, Held};
use super::link::Link;
use super::ring::{Completions, Descriptor, Submissions};
use crate::foreign::ForeignSlice;
use crate::memory::{Frames, PinnedSlice};

const CHUNK: usize = Frames::CHUNK;
/// Octets in front of a payload that is staged, for its head.
const HEADROOM: usize = 128;
/// The most pieces of a frame: what each driver with multi-buffer frames can send.
const MAX_PIECES: usize = 8;
/// Pieces that are kept for what must be copied.
const COPIED_PIECES: usize = 3;
/// Pinned pieces below this are copied, unless told otherwise: as cheap as a descriptor of its own, and
/// all of a frame of the usual 1,500 octets.
const COPY_LIMIT: usize = 1536;
/// Calls of one flush that send nothing before it leaves the rest to the next.
const FRUITLESS: u32 = 8;
/// How often a transmitter that is dropped looks whether all was sent, and how long it waits in between.
const LAST_LOOKS: u32 = 50;
const LAST_WAIT: Duration = Duration::from_millis(2);

/// Frames to be sent.
pub struct Transmitter {
    /// Pinned pieces of fewer octets are copied behind the head. At first 1,536.
    pub copy_limit: usize,
    link: Rc<Link>,
    transmit: Submissions<Descriptor>,
    completed: Completions<u64>,
    flight: Flight,
    /// Chunks that nothing uses.
    free: Vec<u64>,
    /// The chunk that [`Transmitter::stage`] lent.
    staged: Option<u64>,
    oversized: u64,
}

/// A piece of a frame behind its head.
#[derive(Debug)]
pub enum TxPiece<'a> {
    /// Octets that are copied.
    Copied(&'a [u8]),
    /// A range of a pin, which leaves from where it lies if it is of the socket's arena.
    ///
    /// A range beyond the pin counts as what is left of it.
    Pinned(&'a PinnedSlice, Range<usize>),
    /// A range of memory that others share. It leaves from where it lies if [`Transmitter::lends`] says so; what is copied
    /// of it need not be what was there before.
    ///
    /// A range beyond its end counts as what is left of it.
    Foreign(&'a ForeignSlice, Range<usize>),
}

/// There is no room for another frame: flush, and try again when frames have left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// A frame in the making. Its pieces are under way already, and all but the last are in the queue, but
/// nothing is published.
#[derive(Default)]
struct Draft {
    count: usize,
    last: Option<Descriptor>,
    /// Whether the last piece is a chunk of ours, which may have room.
    is_chunk: bool,
}

impl Transmitter {
    /// The most octets that a frame may have, head included, whatever it is made of. Without scattering,
    /// one chunk.
    pub fn max_frame(&self) -> usize {
        if self.link.scatter { COPIED_PIECES * CHUNK } else { CHUNK }
    }

    pub(super) fn new(link: Rc<Link>) -> Transmitter {
        let (transmit, completed) = link.transmit_queues();
        let free: Vec<u64> = link.transmit_chunks().collect();
        let flight = Flight::new(link.transmit_entries);
        Transmitter { copy_limit: COPY_LIMIT, link, transmit, completed, flight, free, staged: None, oversized: 0 }
    }

    /// Frames, whatever they are made of, that can be pushed for sure.
    pub fn room(&self) -> usize {
        let pieces = self.pieces_needed();
        (self.flight.room() / pieces).min(self.free.len() / pieces)
    }

    /// Queues a frame: `head` and what is short or not of this arena is copied, the rest leaves from where
    /// it lies, and a clone of its pin is held until the kernel has read it. A frame that has more than
    /// [`Transmitter::max_frame`] octets and does not fit is dropped and counted.
    ///
    /// # Errors
    /// There is no room.
    pub fn push(&mut self, head: &[u8], pieces: &mut dyn Iterator<Item = TxPiece<'_>>) -> Result<(), Full> {
        if !self.has_room() {
            self.reclaim();
            if !self.has_room() {
                return Err(Full);
            }
        }
        let mut draft = Draft::default();
        let mut fits = self.copy(&mut draft, head);
        while fits && let Some(piece) = pieces.next() {
            fits = self.append(&mut draft, piece);
        }
        match draft.last {
            Some(last) if fits => self.transmit.add(last),
            _ => {
                self.oversized += u64::from(!fits);
                self.discard(&draft);
            }
        }
        Ok(())
    }

    /// Whether these ranges of memory that others share, in one frame, leave from where they lie: all of them are known to
    /// the kernel, and there are enough octets for it to be worth while.
    pub fn lends<'a>(&self, slices: impl Iterator<Item = (&'a ForeignSlice, Range<usize>)>) -> bool {
        if !self.lends_anything() {
            return false;
        }
        let (mut pieces, mut octets) = (COPIED_PIECES, 0);
        for (slice, range) in slices {
            let Some(start) = slice.offset_in(&self.link.arena) else { return false };
            pieces += chunks(start + range.start as u64, range.len());
            octets += range.len();
        }
        pieces <= MAX_PIECES && octets >= self.copy_limit
    }

    /// Whether [`Transmitter::lends`] may say so.
    pub fn lends_anything(&self) -> bool {
        self.link.scatter && self.copy_limit < self.max_frame()
    }

    /// Lends where the payload of the next frame may be written, to leave from there: see [`Transmitter::push_staged`].
    /// `None` if it does not fit a chunk behind its head, or there is no room for another frame.
    pub fn stage(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > CHUNK - HEADROOM {
            return None;
        }
        if !self.has_room() {
            self.reclaim();
            if !self.has_room() {
                return None;
            }
        }
        let chunk = match self.staged {
            Some(chunk) => chunk,
            None => *self.staged.insert(self.free.pop()?),
        };
        let start = self.link.at(chunk + HEADROOM as u64, len);
        // SAFETY: `len` octets from there lie within a chunk of the transmitter that no frame under way uses: it was free,
        // and is queued only by `push_staged`, which takes `self` again. Any octets are valid ones.
        Some(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) })
    }

    /// Queues a frame of `head`, which is copied, and the `len` octets that were written where [`Transmitter::stage`] said.
    ///
    /// # Errors
    /// Nothing was staged since the last frame that was.
    ///
    /// # Panics
    /// Head or payload are longer than there is room for them in the chunk.
    pub fn push_staged(&mut self, head: &[u8], len: usize) -> Result<(), Full> {
        assert!(head.len() <= HEADROOM && len <= CHUNK - HEADROOM, "a frame that is longer than what was staged");
        let address = self.staged.take().ok_or(Full)? + (HEADROOM - head.len()) as u64;
        let target = self.link.at(address, head.len());
        // SAFETY: in front of the payload in the same chunk, which no frame under way uses. The source is borrowed memory of
        // others.
        unsafe { ptr::copy_nonoverlapping(head.as_ptr(), target.as_ptr(), head.len()) };
        self.flight.add(address, Held::Chunk);
        self.transmit.add(Descriptor { address, length: (head.len() + len) as u32, options: 0 });
        Ok(())
    }

    /// Has the kernel send what is queued, and takes back what it has sent. In copy mode this takes a
    /// system call, or before Linux 6.17 one for every 32 pieces. If the device or its peer takes nothing
    /// more, what is left waits for the next flush: see [`Transmitter::unsent`].
    ///
    /// # Errors
    /// The interface is down or gone.
    pub fn flush(&mut self) -> io::Result<()> {
        self.transmit.publish();
        let mut unsent = self.transmit.unread();
        let mut fruitless = 0;
        while unsent > 0 && fruitless < FRUITLESS && self.transmit.needs_wakeup() {
            self.send()?;
            self.reclaim();
            if self.link.zero_copy {
                // The driver was told; it reads in its own time.
                break;
            }
            let left = self.transmit.unread();
            fruitless = if left == unsent { fruitless + 1 } else { 0 };
            unsent = left;
        }
        self.reclaim();
        Ok(())
    }

    /// Takes back chunks and pins of what was sent.
    pub fn reclaim(&mut self) {
        let mut any = false;
        while let Some(address) = self.completed.take() {
            if let Held::Chunk = self.flight.complete(address) {
                // One that was staged begins within its chunk.
                self.free.push(address - address % CHUNK as u64);
            }
            any = true;
        }
        if any {
            self.completed.release();
        }
    }

    /// Pieces that were queued and that the kernel has not read yet.
    pub fn unsent(&self) -> usize {
        self.transmit.unread() as usize
    }

    /// Pieces that the kernel has not reported as sent.
    pub fn in_flight(&self) -> usize {
        self.flight.len()
    }

    /// Frames that were dropped because they exceed [`Transmitter::max_frame`].
    pub fn oversized(&self) -> u64 {
        self.oversized
    }

    fn has_room(&self) -> bool {
        let pieces = self.pieces_needed();
        self.flight.room() >= pieces && self.free.len() >= pieces
    }

    /// Pieces that a frame may need.
    fn pieces_needed(&self) -> usize {
        if self.link.scatter { MAX_PIECES } else { 1 }
    }

    /// Adds a piece to a frame; whether it fits.
    fn append(&mut self, draft: &mut Draft, piece: TxPiece<'_>) -> bool {
        let (pin, range) = match piece {
            TxPiece::Copied(octets) => return self.copy(draft, octets),
            TxPiece::Foreign(slice, range) => return self.append_foreign(draft, slice, range),
            TxPiece::Pinned(pin, range) => (pin, range),
        };
        let end = range.end.min(pin.len());
        let octets = &pin[range.start.min(end)..end];
        if octets.len() >= self.copy_limit.max(1)
            && self.link.scatter
            && let Some(extent) = pin.extent().offset_in(&self.link.arena)
        {
            let start = extent + (pin.range().start + range.start) as u64;
            if self.point(draft, || Held::Pin(pin.clone()), start, octets.len()) {
                return true;
            }
        }
        self.copy(draft, octets)
    }

    /// Adds memory that others share to a frame; whether it fits.
    fn append_foreign(&mut self, draft: &mut Draft, slice: &ForeignSlice, range: Range<usize>) -> bool {
        let end = range.end.min(slice.len());
        let range = range.start.min(end)..end;
        if self.link.scatter
            && let Some(start) = slice.offset_in(&self.link.arena)
            && self.point(draft, || Held::Foreign(slice.clone()), start + range.start as u64, range.len())
        {
            return true;
        }
        let mut octets = vec![0; range.len()];
        slice.read(range.start, &mut octets);
        self.copy(draft, &octets)
    }

    /// Copies octets to the end of a frame; whether they fit.
    fn copy(&mut self, draft: &mut Draft, mut octets: &[u8]) -> bool {
        while !octets.is_empty() {
            let Some(descriptor) = self.open_chunk(draft) else { return false };
            let used = descriptor.length as usize;
            let taken = octets.len().min(CHUNK - used);
            let target = self.link.at(descriptor.address + used as u64, taken);
            // SAFETY: `taken` octets from `used` on lie within a chunk of the transmitter that no frame
            // under way uses: it was free, and the kernel sees it only after `submit`. The source is
            // borrowed memory of others.
            unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), target.as_ptr(), taken) };
            descriptor.length += taken as u32;
            octets = &octets[taken..];
        }
        true
    }

    /// Points at `len` octets from `start` on, counted from the arena's beginning, which what is `held` keeps; none of the
    /// pieces crosses from one chunk to the next. False if that would be too many pieces.
    fn point(&mut self, draft: &mut Draft, held: impl Fn() -> Held, mut start: u64, mut len: usize) -> bool {
        let needed = chunks(start, len);
        if draft.count + needed + COPIED_PIECES > MAX_PIECES {
            return false;
        }
        while len > 0 {
            let length = len.min(CHUNK - start as usize % CHUNK);
            let descriptor = Descriptor { address: start, length: length as u32, options: 0 };
            self.add(draft, descriptor, held());
            start += length as u64;
            len -= length;
        }
        true
    }

    /// The chunk at the end of a frame, with room for an octet or more; a new one if need be.
    fn open_chunk<'d>(&mut self, draft: &'d mut Draft) -> Option<&'d mut Descriptor> {
        let is_open = draft.is_chunk && draft.last.is_some_and(|last| (last.length as usize) < CHUNK);
        if !is_open {
            if draft.count == self.pieces_needed() {
                return None;
            }
            let address = self.free.pop()?;
            self.add(draft, Descriptor { address, length: 0, options: 0 }, Held::Chunk);
        }
        draft.last.as_mut()
    }

    /// Adds a piece to the end of a frame.
    fn add(&mut self, draft: &mut Draft, descriptor: Descriptor, held: Held) {
        draft.is_chunk = matches!(held, Held::Chunk);
        draft.count += 1;
        self.flight.add(descriptor.address, held);
        if let Some(mut before) = draft.last.replace(descriptor) {
            before.options = Descriptor::CONTINUED;
            self.transmit.add(before);
        }
    }

    /// Takes back a frame that does not fit.
    fn discard(&mut self, draft: &Draft) {
        for _ in 0..draft.count {
            if let Some((chunk, Held::Chunk)) = self.flight.take_back() {
                self.free.push(chunk);
            }
        }
        self.transmit.take_back(draft.count.saturating_sub(1) as u32);
    }

    /// Tells the kernel to send.
    fn send(&self) -> io::Result<()> {
        let socket = self.link.socket().as_raw_fd();
        // SAFETY: no octets and no address are passed; what is sent is in the queue.
        let result = unsafe { libc::sendto(socket, ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
        if result >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // More pieces than the kernel sends at a time; the device is busy; too much is under way.
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR) => Ok(()),
            _ => Err(error),
        }
    }
}

/// How many chunks so many octets lie in.
fn chunks(start: u64, len: usize) -> usize {
    (start as usize % CHUNK + len).div_ceil(CHUNK)
}

impl Drop for Transmitter {
    /// Sends what is queued and waits a little for the kernel to report it. What it has not reported by
    /// then, it may still read: that stays in memory for ever.
    fn drop(&mut self) {
        for _ in 0..LAST_LOOKS {
            let is_gone = self.flush().is_err();
            if self.flight.len() == 0 || is_gone {
                break;
            }
            thread::sleep(LAST_WAIT);
        }
        if self.flight.len() > 0 {
            self.link.keep(self.flight.drain());
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue for sending has no room for another frame")
    }
}

impl std::error::Error for Full {}
