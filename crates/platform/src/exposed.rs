//! Exposed memory: other processes may read it, and nobody but its owner may write it. The kernel sees to that
//! (F_SEAL_FUTURE_WRITE, fcntl(2)), so that it can be seen as plain memory.
//!
//! Or it was [given](Given) by a server that has it mapped as well, which could write any memory of ours, and is trusted not to.
//!
//! A process that is forked has the same memory, as it has every shared mapping: from then on only one of the two may
//! use it. Whoever calls fork(2), which is unsafe, answers for that.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use rustix::fs::{self, MemfdFlags, SealFlags};
use rustix::io::retry_on_intr;
use rustix::mm::{self, MapFlags, ProtFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{geteuid, getpid};

use crate::foreign::ForeignMemory;

/// The mapping that parts of exposed memory share.
struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// To be passed on. None of what was given: who has it could map it for writing.
    file: Option<OwnedFd>,
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

/// A memfd that a server has passed, and that nobody else in this process has seen.
#[derive(Debug)]
pub struct Given {
    file: OwnedFd,
    is_trusted: bool,
}

/// Who has no number in our namespace.
const NOBODY: u32 = 65_534;
/// The most descriptors that are taken with a packet; one is expected.
const DESCRIPTORS: usize = 4;

impl Given {
    /// Receives a packet, and what is given with it, if one descriptor is. Returns the packet's octets.
    ///
    /// # Errors
    /// As recvmsg(2); the packet is longer than `packet`.
    pub fn receive(server: BorrowedFd<'_>, packet: &mut [u8]) -> io::Result<(usize, Option<Given>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut pieces = [IoSliceMut::new(packet)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::TRUNC;
        let received = retry_on_intr(|| recvmsg(server, &mut pieces, &mut ancillary, flags))?;
        if received.bytes > packet.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the packet is too long"));
        }
        let rights = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let mut descriptors: Vec<OwnedFd> = rights.flatten().collect();
        let file = if descriptors.len() == 1 { descriptors.pop() } else { None };
        let is_trusted = is_trusted(server);
        Ok((received.bytes, file.map(|file| Given { file, is_trusted })))
    }

    /// What is at `range` of it, as memory that is ours alone: nobody in this process has its descriptor from now on.
    ///
    /// # Errors
    /// The server is not [trusted](is_trusted); there is no such range, or it does not begin at a page; or it cannot be mapped.
    pub fn into_exposed(self, range: Range<usize>) -> io::Result<ExposedPart> {
        if !self.is_trusted {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the server could not write our memory"));
        }
        let memory = ForeignMemory::map_part(self.file, range)?;
        if !memory.is_writable() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let (base, len) = memory.into_mapping();
        Ok(ExposedPart { mapping: Arc::new(Mapping { base, len, file: None }), range: 0..len })
    }

    /// What is at `range` of it, as memory that the server writes, too.
    ///
    /// # Errors
    /// As [`Given::into_exposed`], whoever the server is.
    pub fn into_foreign(self, range: Range<usize>) -> io::Result<ForeignMemory> {
        ForeignMemory::map_part(self.file, range)
    }
}

/// Whether the process at the other end is not this one, and could write any memory of it anyway (ptrace(2)): it is root's, or of
/// this one's user.
pub fn is_trusted(server: BorrowedFd<'_>) -> bool {
    let mut peer = libc::ucred { pid: 0, uid: NOBODY, gid: NOBODY };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: the kernel writes at most `length` octets, integers, at the address of a value of that size.
    let result = unsafe { libc::getsockopt(server.as_raw_fd(), level, name, (&raw mut peer).cast(), &raw mut length) };
    let is_of_ours = peer.uid == geteuid().as_raw() && peer.uid != NOBODY;
    // One of another namespace has no number here.
    result == 0 && (peer.uid == 0 || is_of_ours) && peer.pid != getpid().as_raw_nonzero().get()
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
        let mapping = Mapping { base, len, file: Some(file) };
        // Behind our own mapping: from now on nobody makes another that can be written.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        mapping.file.iter().try_for_each(|file| fs::fcntl_add_seals(file, seals))?;
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

    /// The descriptor of all the memory, to be passed on; none of what was given.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.mapping.file.as_ref().map(AsFd::as_fd)
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
        // can make, a mapping that it could write through, but a server that could write any memory of this one: what
        // it gives to one it gives to nobody else, and does not write (see `Given`, which keeps the descriptor from others here).
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

    #[test]
    fn others_see_it_and_cannot_write_it() {
        let mut ours = ExposedPart::create(8192).unwrap();
        let theirs = ForeignMemory::map(ours.descriptor().unwrap().try_clone_to_owned().unwrap(), 8192).unwrap();
        assert!(!theirs.is_writable());
        ours[4096..4101].copy_from_slice(b"hello");
        let mut octets = [0; 5];
        theirs.read(4096, &mut octets);
        assert_eq!(&octets, b"hello");
        let file = ours.descriptor().unwrap().try_clone_to_owned().unwrap();
        assert!(rustix::io::pwrite(&file, b"x", 0).is_err());
    }

    #[test]
    fn what_this_process_gives_itself_is_no_memory_of_its_own() {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let memory = ForeignMemory::create(8192).unwrap();
        let give = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let descriptors = [memory.descriptor()];
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            sendmsg(&theirs, &[io::IoSlice::new(b"take it")], &mut ancillary, SendFlags::empty()).unwrap();
        };
        let take = || {
            let mut packet = [0; 16];
            let (count, given) = Given::receive(ours.as_fd(), &mut packet).unwrap();
            assert_eq!(&packet[..count], b"take it");
            given.unwrap()
        };
        assert!(!is_trusted(ours.as_fd()));
        give();
        assert!(take().into_exposed(0..4096).is_err());
        give();
        let part = take().into_foreign(4096..8192).unwrap();
        part.write(0, b"hello");
        let mut octets = [0; 5];
        memory.read(4096, &mut octets);
        assert_eq!(&octets, b"hello");
        give();
        assert!(take().into_foreign(4096..8193).is_err());
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
        ForeignMemory::map(ours.descriptor().unwrap().try_clone_to_owned().unwrap(), 4096).unwrap().write(0, b"x");
    }
}
