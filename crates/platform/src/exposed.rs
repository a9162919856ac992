//! Exposed memory: other processes may read it, and nobody but its owner may write it. The kernel sees to that
//! (F_SEAL_FUTURE_WRITE, fcntl(2)), so that it can be seen as plain memory.
//!
//! A process that is forked has the same memory, as it has every shared mapping: from then on only one of the two may
//! use it. Whoever calls fork(2), which is unsafe, answers for that.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use rustix::fs::{self, MemfdFlags, SealFlags};
use rustix::mm::{self, MapFlags, ProtFlags};

/// The mapping that parts of exposed memory share.
struct Mapping {
    base: NonNull<u8>,
    len: usize,
    file: OwnedFd,
}

// SAFETY: the mapping belongs to the process, not to a thread. Who reaches which octets is up to the parts.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// A part of exposed memory that nobody else in this process has: plain memory to who has it.
pub struct ExposedPart {
    mapping: Arc<Mapping>,
    range: Range<usize>,
}

/// A part of exposed memory that is not written any more, and can be had by many.
#[derive(Clone)]
pub struct FrozenPart {
    mapping: Arc<Mapping>,
    range: Range<usize>,
}

impl ExposedPart {
    /// Makes memory of `len` octets, zeroed and present, whose size nobody can change. The part is all of it.
    ///
    /// # Errors
    /// No descriptor, no address space or no memory is left; `len` is zero.
    pub fn create(len: usize) -> io::Result<ExposedPart> {
        let file = fs::memfd_create("afpa-exposed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        fs::ftruncate(&file, len as u64)?;
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe { mm::mmap(ptr::null_mut(), len, protection, flags, &file, 0)? };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidInput)?;
        let mapping = Mapping { base, len, file };
        // Behind our own mapping: from now on nobody makes another that can be written.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        fs::fcntl_add_seals(&mapping.file, seals)?;
        Ok(ExposedPart { mapping: Arc::new(mapping), range: 0..len })
    }

    /// Splits it in two: this becomes what lies before `at`, and what lies behind is returned.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn split_off(&mut self, at: usize) -> ExposedPart {
        assert!(at <= self.range.len(), "beyond the part's end");
        let middle = self.range.start + at;
        let behind = ExposedPart { mapping: self.mapping.clone(), range: middle..self.range.end };
        self.range.end = middle;
        behind
    }

    /// Joins what was split.
    ///
    /// # Errors
    /// `behind` does not begin where this ends; it is returned.
    pub fn join(&mut self, behind: ExposedPart) -> Result<(), ExposedPart> {
        if !Arc::ptr_eq(&self.mapping, &behind.mapping) || behind.range.start != self.range.end {
            return Err(behind);
        }
        self.range.end = behind.range.end;
        Ok(())
    }

    /// It is not written any more.
    pub fn freeze(self) -> FrozenPart {
        FrozenPart { mapping: self.mapping, range: self.range }
    }

    /// The descriptor of all the memory, to be passed on.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.mapping.file.as_fd()
    }

    /// Where in the memory it lies.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }
}

impl FrozenPart {
    /// A part of the part.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn part(&self, range: Range<usize>) -> FrozenPart {
        assert!(range.start <= range.end && range.end <= self.range.len(), "beyond the part's end");
        let start = self.range.start;
        FrozenPart { mapping: self.mapping.clone(), range: start + range.start..start + range.end }
    }

    /// Where in the memory it lies.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }
}

impl Deref for ExposedPart {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is within the mapping, which lives as long as the part. Parts that can be written do not
        // overlap with any other, so within this process the borrow of this one guards it; no other process has, or
        // can make, a mapping that it could write through.
        unsafe { slice::from_raw_parts(self.mapping.base.add(self.range.start).as_ptr(), self.range.len()) }
    }
}

impl DerefMut for ExposedPart {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`. That others may read it meanwhile is their affair: they see it as foreign memory.
        unsafe { slice::from_raw_parts_mut(self.mapping.base.add(self.range.start).as_ptr(), self.range.len()) }
    }
}

impl Deref for FrozenPart {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is within the mapping, which lives as long as the part. It came from a part that
        // overlapped with no other, and that was given up: nobody can write it.
        unsafe { slice::from_raw_parts(self.mapping.base.add(self.range.start).as_ptr(), self.range.len()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no part of it is left.
        let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

impl fmt::Debug for ExposedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExposedPart").field(&self.range).finish()
    }
}

impl fmt::Debug for FrozenPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FrozenPart").field(&self.range).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foreign::ForeignMemory;

    #[test]
    fn others_see_it_and_cannot_write_it() {
        let mut ours = ExposedPart::create(8192).unwrap();
        let theirs = ForeignMemory::map(ours.descriptor().try_clone_to_owned().unwrap(), 8192).unwrap();
        assert!(!theirs.is_writable());
        ours[4096..4101].copy_from_slice(b"hello");
        let mut octets = [0; 5];
        theirs.read(4096, &mut octets);
        assert_eq!(&octets, b"hello");
        let file = ours.descriptor().try_clone_to_owned().unwrap();
        assert!(rustix::io::pwrite(&file, b"x", 0).is_err());
    }

    #[test]
    fn parts_are_split_and_joined() {
        let mut first = ExposedPart::create(4096).unwrap();
        let mut second = first.split_off(1000);
        let third = second.split_off(96);
        assert_eq!((first.range(), second.range(), third.range()), (0..1000, 1000..1096, 1096..4096));
        second[0] = 1;
        let third = first.join(third).unwrap_err();
        first.join(second).unwrap();
        first.join(third).unwrap();
        assert_eq!((first.len(), first[1000]), (4096, 1));
        let frozen = first.freeze();
        assert_eq!(&frozen.part(999..1002)[..], &[0, 1, 0]);
    }

    #[test]
    #[should_panic(expected = "not for us to write")]
    fn what_is_not_for_us_is_not_written() {
        let ours = ExposedPart::create(4096).unwrap();
        ForeignMemory::map(ours.descriptor().try_clone_to_owned().unwrap(), 4096).unwrap().write(0, b"x");
    }
}
