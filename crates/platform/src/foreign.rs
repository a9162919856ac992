//! Foreign memory: shared with another process, which may write it at any time.
//!
//! No reference to its octets is ever made, since a `&[u8]` promises that they stay as they are. They are copied in and
//! out, seen as atomics, or handed to the kernel by their address.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

use rustix::fs::{self, MemfdFlags, SealFlags};
use rustix::mm::{self, MapFlags, ProtFlags};

use crate::memory::{Arena, Grant};

/// What fstatfs(2) says of a memfd of huge pages (HUGETLBFS_MAGIC).
const HUGE_PAGES: fs::FsWord = 0x9584_58f6;

/// A memfd that is mapped, and shared with whoever else has its descriptor.
pub struct ForeignMemory {
    base: NonNull<u8>,
    len: usize,
    is_writable: bool,
    file: OwnedFd,
    /// Where a device finds it, if one does.
    grant: Option<Grant>,
}

// SAFETY: `base` is an address of memory that belongs to the process, not to a thread; everybody reaches it through
// atomics and copies, other processes included.
unsafe impl Send for ForeignMemory {}
// SAFETY: as above.
unsafe impl Sync for ForeignMemory {}

/// A range of foreign memory: what is sent from where it lies.
#[derive(Clone)]
pub struct ForeignSlice {
    memory: Arc<ForeignMemory>,
    start: usize,
    len: usize,
}

/// Octets that the kernel may read, by their address: others may write them at any time.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    start: NonNull<u8>,
    len: usize,
    lifetime: PhantomData<&'a ()>,
}

impl ForeignMemory {
    /// Makes memory of `len` octets, zeroed, whose size nobody can change any more.
    ///
    /// # Errors
    /// No descriptor or no address space is left.
    pub fn create(len: usize) -> io::Result<ForeignMemory> {
        let file = fs::memfd_create("afpa-shared", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        fs::ftruncate(&file, len as u64)?;
        fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        ForeignMemory::map(file, len)
    }

    /// Maps `len` octets of what another process has passed: to be read only if it is sealed against those who would
    /// write it.
    ///
    /// # Errors
    /// It is not sealed against shrinking, so that its pages could be taken away under us; it is not so long, or
    /// empty; or it cannot be mapped.
    pub fn map(file: OwnedFd, len: usize) -> io::Result<ForeignMemory> {
        ForeignMemory::map_part(file, 0..len)
    }

    /// Maps a part of a pool's file, which is granted for as long as this lives.
    pub(crate) fn of_pool(file: OwnedFd, range: Range<usize>, grant: Grant) -> io::Result<ForeignMemory> {
        let mut memory = ForeignMemory::map_part(file, range)?;
        memory.grant = Some(grant);
        Ok(memory)
    }

    /// As [`ForeignMemory::map`], of a part that begins at a page.
    pub(crate) fn map_part(file: OwnedFd, range: Range<usize>) -> io::Result<ForeignMemory> {
        let len = range.len();
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        // Touching what is missing of huge pages raises a signal if there are none left.
        if fs::fstatfs(&file)?.f_type == HUGE_PAGES {
            return Err(invalid("the shared memory is of huge pages"));
        }
        let seals = fs::fcntl_get_seals(&file).map_err(|_| invalid("the shared memory is no memfd"))?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(invalid("the shared memory is not sealed against shrinking"));
        }
        let size = u64::try_from(fs::fstat(&file)?.st_size).unwrap_or(0);
        if len == 0 || range.end as u64 > size {
            return Err(invalid("the shared memory is shorter than it is said to be"));
        }
        let is_writable = !seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE);
        let protection = if is_writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe { mm::mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, &file, range.start as u64)? };
        let base = NonNull::new(base.cast()).ok_or_else(|| invalid("mapped at zero"))?;
        Ok(ForeignMemory { base, len, is_writable, file, grant: None })
    }

    /// The mapping alone, which is the caller's to undo from now on.
    pub(crate) fn into_mapping(mut self) -> (NonNull<u8>, usize) {
        let mapping = (self.base, self.len);
        // Nothing is left to be unmapped.
        self.len = 0;
        mapping
    }

    /// The descriptor, to be passed on.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Octets.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it may be written: who has passed it may have kept that to himself.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Where an octet is in this process, for what is not Rust.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn pointer(&self, offset: usize) -> NonNull<u8> {
        self.at(offset, 0)
    }

    /// Copies octets out. If they are written meanwhile, what is copied is a mixture of before and after.
    ///
    /// # Panics
    /// Beyond the end.
    #[inline]
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        let from = self.at(offset, into.len());
        // SAFETY: `at` has checked the range, which stays mapped as long as `self` lives; `into` is ours, so they do
        // not overlap. Another process may write the source: any octets are valid ones.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), into.as_mut_ptr(), into.len()) }
        // Whoever copies the copy does not read the source again: what was checked is what is used.
        compiler_fence(Ordering::SeqCst);
    }

    /// Copies octets in.
    ///
    /// # Panics
    /// Beyond the end, or it is not [writable](ForeignMemory::is_writable).
    #[inline]
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(self.is_writable, "the foreign memory is not for us to write");
        let to = self.at(offset, bytes.len());
        // SAFETY: as in `read`, the other way; no reference to the target exists anywhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) }
    }

    /// Writes zeros.
    ///
    /// # Panics
    /// As [`ForeignMemory::write`].
    pub(crate) fn zero(&self, range: Range<usize>) {
        assert!(self.is_writable, "the foreign memory is not for us to write");
        let start = self.at(range.start, range.len());
        // SAFETY: as in `write`.
        unsafe { ptr::write_bytes(start.as_ptr(), 0, range.len()) }
    }

    /// Reads from a file into ranges of it, given as offset and length; returns how many octets were read.
    ///
    /// # Errors
    /// As preadv(2).
    ///
    /// # Panics
    /// Beyond the end.
    pub fn read_file(&self, file: BorrowedFd<'_>, position: u64, ranges: [(usize, usize); 2]) -> io::Result<usize> {
        let pieces =
            ranges.map(|(offset, len)| libc::iovec { iov_base: self.at(offset, len).as_ptr().cast(), iov_len: len });
        let position = i64::try_from(position).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: `at` has checked both ranges, which stay mapped as long as `self` lives; no reference to them exists.
        let read = unsafe { libc::preadv64(file.as_raw_fd(), pieces.as_ptr(), 2, position) };
        usize::try_from(read).map_err(|_| io::Error::last_os_error())
    }

    /// Four octets as an atomic.
    ///
    /// # Panics
    /// Beyond the end, not at a multiple of four, or it is not [writable](ForeignMemory::is_writable).
    #[inline]
    pub fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        let at = self.at(offset, 4);
        assert!(offset.is_multiple_of(4) && self.is_writable, "an atomic must be aligned, and writable");
        // SAFETY: in range, mapped as long as the reference lives and for writing, aligned since mappings begin at pages; whoever
        // shares the memory reaches these octets by atomics or from another process.
        unsafe { AtomicU32::from_ptr(at.as_ptr().cast()) }
    }

    /// Eight octets as an atomic.
    ///
    /// # Panics
    /// Beyond the end, not at a multiple of eight, or it is not [writable](ForeignMemory::is_writable).
    #[inline]
    pub fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        let at = self.at(offset, 8);
        assert!(offset.is_multiple_of(8) && self.is_writable, "an atomic must be aligned, and writable");
        // SAFETY: as in `atomic_u32`.
        unsafe { AtomicU64::from_ptr(at.as_ptr().cast()) }
    }

    /// A range of it.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn slice(self: &Arc<Self>, range: Range<usize>) -> ForeignSlice {
        assert!(range.start <= range.end && range.end <= self.len, "beyond the foreign memory's end");
        ForeignSlice { memory: self.clone(), start: range.start, len: range.end - range.start }
    }

    /// Where `len` octets from `offset` on are.
    #[inline]
    fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset <= self.len && len <= self.len - offset, "beyond the foreign memory's end");
        // SAFETY: `offset` is within the mapping.
        unsafe { self.base.add(offset) }
    }
}

impl Drop for ForeignMemory {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the mapping is ours, and nobody can refer to it any more.
            let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
        }
    }
}

impl ForeignSlice {
    /// Octets.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies out what is at `offset` of it.
    ///
    /// # Panics
    /// Beyond its end.
    #[inline]
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        assert!(offset <= self.len && into.len() <= self.len - offset, "beyond the slice's end");
        self.memory.read(self.start + offset, into);
    }

    /// Copies it behind what `octets` has.
    pub fn append_to(&self, octets: &mut Vec<u8>) {
        let before = octets.len();
        octets.resize(before + self.len, 0);
        self.read(0, &mut octets[before..]);
    }

    /// Where it lies, from the beginning of `arena`, if it is of memory behind that.
    #[inline]
    pub(crate) fn offset_in(&self, arena: &Arc<Arena>) -> Option<u64> {
        let grant = self.memory.grant.as_ref()?;
        grant.offset_in(arena).map(|offset| offset + self.start as u64)
    }

    /// Its octets from `offset` on, for the kernel to read.
    ///
    /// # Panics
    /// Beyond its end.
    #[inline]
    pub(crate) fn span(&self, offset: usize) -> Span<'_> {
        assert!(offset <= self.len, "beyond the slice's end");
        Span { start: self.memory.at(self.start + offset, 0), len: self.len - offset, lifetime: PhantomData }
    }
}

impl<'a> Span<'a> {
    /// Octets that nobody writes.
    #[inline]
    pub(crate) fn of(bytes: &'a [u8]) -> Span<'a> {
        Span { start: NonNull::from(bytes).cast(), len: bytes.len(), lifetime: PhantomData }
    }

    /// Octets.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where they begin.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// A copy of them.
    #[cfg(test)]
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut octets = vec![0; self.len];
        // SAFETY: the span's memory is mapped while the span lives, and the copy is ours.
        unsafe { ptr::copy_nonoverlapping(self.as_ptr(), octets.as_mut_ptr(), self.len) }
        octets
    }
}

impl fmt::Debug for ForeignMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignMemory").field("len", &self.len).finish_non_exhaustive()
    }
}

impl fmt::Debug for ForeignSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForeignSlice").field(&(self.start..self.start + self.len)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_see_each_other() {
        let ours = Arc::new(ForeignMemory::create(8192).unwrap());
        let theirs = ForeignMemory::map(ours.descriptor().try_clone_to_owned().unwrap(), 8192).unwrap();
        theirs.write(100, b"hello");
        let slice = ours.slice(100..105);
        let mut octets = [0; 3];
        slice.read(2, &mut octets);
        assert_eq!(&octets, b"llo");
        ours.atomic_u32(4096).store(7, Ordering::Release);
        assert_eq!(theirs.atomic_u32(4096).load(Ordering::Acquire), 7);
        assert_eq!(theirs.atomic_u64(4096).load(Ordering::Acquire), 7);
    }

    #[test]
    fn memory_that_could_be_taken_away_is_refused() {
        let file = fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        fs::ftruncate(&file, 4096).unwrap();
        assert!(ForeignMemory::map(file.try_clone().unwrap(), 4096).is_err());
        fs::fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
        assert!(ForeignMemory::map(file.try_clone().unwrap(), 8192).is_err());
        assert!(ForeignMemory::map(file, 4096).is_ok());
        let pipe = rustix::pipe::pipe().unwrap().0;
        assert!(ForeignMemory::map(pipe, 4096).is_err());
    }

    #[test]
    #[should_panic(expected = "beyond")]
    fn nothing_is_read_beyond_the_end() {
        ForeignMemory::create(4096).unwrap().read(4090, &mut [0; 7]);
    }
}
