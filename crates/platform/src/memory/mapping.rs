//! The memfd, and the one place where it is mapped.

use std::ffi::c_void;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::ptr::NonNull;

use rustix::fs::{self, FallocateFlags, MemfdFlags, SealFlags};
use rustix::mm::{self, Advice, MapFlags, ProtFlags};

/// Huge pages are of 2 MiB, and so are the blocks in which memory is faulted in.
pub(super) const BLOCK: usize = 2 * 1024 * 1024;

/// MADV_COLLAPSE, in Linux since 6.1.
const COLLAPSE: i32 = 25;
/// Where a kernel that has huge pages says so.
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage";

/// A memfd, mapped shared and writable at an address that a huge page can start at, and what lies behind it.
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// Octets of the files that are mapped behind it.
    behind: usize,
    file: OwnedFd,
    /// Whether huge pages can be kept away; if not, nothing is lent.
    plain: bool,
}

// SAFETY: `base` is an address of memory that belongs to the process, not to a thread; the methods
// only make system calls, which the kernel serialises.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// A mapping of `len` octets, and behind it `size` octets of each of `files`, one after the other: `len` is a multiple of
    /// the system's page size then, and so is `size`.
    pub(super) fn new(len: usize, files: &[OwnedFd], size: usize) -> io::Result<Mapping> {
        let behind = files.len().checked_mul(size).ok_or(io::ErrorKind::InvalidInput)?;
        let file = fs::memfd_create("afpa", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        fs::ftruncate(&file, len as u64)?;
        fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        let base = map_aligned(&file, len, behind)?;
        let mut mapping = Mapping { base, len, behind, file, plain: false };
        for (number, file) in files.iter().enumerate() {
            let at = base.as_ptr().wrapping_add(len + number * size).cast();
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            // SAFETY: the range lies within what `map_aligned` has reserved behind the file, which nobody uses yet.
            unsafe { mm::mmap(at, size, ProtFlags::READ | ProtFlags::WRITE, flags, file, 0)? };
        }
        // Fails on a kernel without huge pages, where there is nothing to refuse.
        mapping.plain = mapping.advise(0, len, Advice::LinuxNoHugepage).is_ok() || !Path::new(HUGE_PAGES).exists();
        Ok(mapping)
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Whether what is lent has no huge page.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Faults the range in, writable.
    pub(super) fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        self.advise(offset, len, Advice::LinuxPopulateWrite)
    }

    /// Locks the range in memory.
    pub(super) fn lock(&self, offset: usize, len: usize) -> io::Result<()> {
        // SAFETY: the range is part of the mapping; locking changes neither contents nor addresses.
        unsafe { mm::mlock(self.at(offset, len), len) }.map_err(Into::into)
    }

    /// Makes one populated block a huge page; whether that succeeded.
    pub(super) fn make_huge(&self, offset: usize) -> bool {
        if self.advise(offset, BLOCK, Advice::LinuxHugepage).is_err() {
            return false;
        }
        // SAFETY: the range is part of the mapping; collapsing keeps contents and addresses.
        unsafe { libc::madvise(self.at(offset, BLOCK), BLOCK, COLLAPSE) == 0 }
    }

    /// Takes the range's pages away from the file; those who hold references to them keep them. The
    /// range reads as zeros from new pages afterwards.
    ///
    /// # Safety
    /// Nobody may hold a reference into the range, in this process.
    pub(super) unsafe fn punch(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len));
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fs::fallocate(&self.file, flags, offset as u64, len as u64)?;
        Ok(())
    }

    fn advise(&self, offset: usize, len: usize, advice: Advice) -> io::Result<()> {
        debug_assert!(matches!(advice, Advice::LinuxNoHugepage | Advice::LinuxHugepage | Advice::LinuxPopulateWrite));
        // SAFETY: the range is part of the mapping, and none of these advices changes its contents.
        unsafe { mm::madvise(self.at(offset, len), len, advice) }.map_err(Into::into)
    }

    fn at(&self, offset: usize, len: usize) -> *mut c_void {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len + self.behind));
        self.base.as_ptr().wrapping_add(offset).cast()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: whoever points into the mapping keeps it alive; there is nobody left.
        let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len + self.behind) };
    }
}

/// Maps the whole file at a multiple of [`BLOCK`], with `behind` octets reserved behind it: reserves more than is
/// needed, maps the file over the aligned middle, and gives the rest back.
fn map_aligned(file: &OwnedFd, len: usize, behind: usize) -> io::Result<NonNull<u8>> {
    let kept = len.checked_add(behind).ok_or(io::ErrorKind::InvalidInput)?;
    let reserved = kept.checked_add(BLOCK).ok_or(io::ErrorKind::InvalidInput)?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe { mm::mmap_anonymous(std::ptr::null_mut(), reserved, ProtFlags::empty(), flags) }?;
    let before = start.addr().next_multiple_of(BLOCK) - start.addr();
    let base = start.wrapping_byte_add(before);
    // SAFETY: the range lies within the reservation just made, which nobody uses yet.
    let mapped =
        unsafe { mm::mmap(base, len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED, file, 0) };
    if let Err(error) = mapped {
        // SAFETY: the reservation is ours and unused.
        let _ = unsafe { mm::munmap(start, reserved) };
        return Err(error.into());
    }
    if before > 0 {
        // SAFETY: the part of the reservation in front of the file's mapping, unused.
        let _ = unsafe { mm::munmap(start, before) };
    }
    if before < BLOCK {
        // SAFETY: the part of the reservation behind all that is kept, unused. Its beginning is a multiple of the
        // system's page size.
        let _ = unsafe { mm::munmap(base.wrapping_byte_add(kept), BLOCK - before) };
    }
    NonNull::new(base.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
