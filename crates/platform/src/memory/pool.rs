//! Memory for other processes behind an arena, in one range of addresses with it, so that a device that the arena is
//! registered with can send it from where it lies.
//!
//! It is made of *pieces*, a memfd each, since a process can map all of a memfd that it has. A piece is one
//! application's at a time. Parts of it are granted one behind the other, and none of them again, since nobody can tell who still
//! has a part mapped; the whole piece is, when none of its grants is left and nobody but us has it open or mapped.
//! For that, each grant is an open file of its own.
//!
//! What is bounded: the pieces, made at the start. If none is left, the answer is that there is none.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{self, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::param::page_size;

use super::arena::Arena;
use super::mapping::BLOCK;
use crate::foreign::ForeignMemory;

/// Of a page's entry in /proc/self/pagemap: it is in memory, and mapped.
const IS_PRESENT: u64 = 1 << 63;

const ROOT: u32 = 0;

/// See the [module](self).
pub struct Pool {
    arena: Arc<Arena>,
    /// Octets of a piece.
    size: usize,
    pieces: Mutex<Vec<Piece>>,
    /// Grants that are alive, by piece. Apart, so that who drops one waits for nobody.
    alive: Box<[AtomicUsize]>,
}

/// Whose memory it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Processes of one user can read and write each other's memory in any case. What one user had no other gets; and what
    /// root's had no other application gets, since its processes can become another user's.
    pub user: u32,
    /// Tells applications apart, those that are gone included.
    pub application: u64,
}

struct Piece {
    /// Ours: the only open file that is not a grant's.
    file: OwnedFd,
    /// Who has it, or had it last.
    owner: Option<Owner>,
    /// Octets that were granted.
    used: usize,
    /// It is not what the device knows any more: nobody gets anything of it.
    is_retired: bool,
}

/// A part of a piece, as long as somebody needs it.
pub(crate) struct Grant {
    pool: Arc<Pool>,
    piece: usize,
    /// Where it begins in the piece.
    start: usize,
}

impl Pool {
    /// An arena of `capacity` octets and, behind it, `count` pieces of `size` octets. No memory is used before the arena is
    /// registered with a device: until then it is nobody's to grant.
    ///
    /// # Errors
    /// As [`Arena::new`]; `size` is not a multiple of 2 MiB.
    pub fn behind_arena(capacity: u64, count: usize, size: usize) -> io::Result<(Arc<Arena>, Arc<Pool>)> {
        if size == 0 || !size.is_multiple_of(BLOCK) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a piece is a multiple of 2 MiB"));
        }
        let files: Vec<OwnedFd> = (0..count).map(|_| create(size)).collect::<io::Result<_>>()?;
        let arena = Arena::before(&files, size, capacity)?;
        let piece = |file| Piece { file, owner: None, used: 0, is_retired: false };
        let pool = Pool {
            arena: arena.clone(),
            size,
            pieces: Mutex::new(files.into_iter().map(piece).collect()),
            alive: (0..count).map(|_| AtomicUsize::new(0)).collect(),
        };
        Ok((arena, Arc::new(pool)))
    }

    /// Memory of `len` octets for an application, zeroed, and where it lies in its file; `None` if there is no room for it. The
    /// file is what the [memory's descriptor](ForeignMemory::descriptor) is of: it may be passed to the application's processes.
    ///
    /// # Errors
    /// No descriptor or no address space is left.
    pub fn grant(self: &Arc<Self>, owner: Owner, len: usize) -> io::Result<Option<(ForeignMemory, usize)>> {
        let Some(octets) = len.checked_next_multiple_of(page_size()).filter(|octets| (1..=self.size).contains(octets))
        else {
            return Ok(None);
        };
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(number) = self.choose(&mut pieces, owner, octets) else { return Ok(None) };
        let piece = &mut pieces[number];
        let start = piece.used;
        self.alive[number].fetch_add(1, Ordering::Relaxed);
        // Counted from here on, whatever fails.
        let grant = Grant { pool: self.clone(), piece: number, start };
        let memory = ForeignMemory::of_pool(reopen(&piece.file)?, start..start + len, grant)?;
        piece.owner = Some(owner);
        piece.used = start + octets;
        Ok(Some((memory, start)))
    }

    /// Octets in all.
    pub fn capacity(&self) -> u64 {
        (self.size * self.alive.len()) as u64
    }

    /// A piece with room for so much: one that the application has, one that its user had, or one that nobody had.
    fn choose(&self, pieces: &mut [Piece], owner: Owner, octets: usize) -> Option<usize> {
        let has_room =
            |piece: &Piece| !piece.is_retired && piece.owner == Some(owner) && octets <= self.size - piece.used;
        if let Some(number) = pieces.iter().position(has_room) {
            return Some(number);
        }
        for (number, piece) in pieces.iter_mut().enumerate() {
            let may_have =
                piece.owner.is_some_and(|before| before == owner || before.user == owner.user && owner.user != ROOT);
            if may_have && !piece.is_retired && self.is_vacant(number) && is_alone(&piece.file) {
                match self.clear(number, piece) {
                    Ok(()) => return Some(number),
                    Err(_) => piece.is_retired = true,
                }
            }
        }
        pieces.iter().position(|piece| piece.owner.is_none())
    }

    fn is_vacant(&self, number: usize) -> bool {
        // What others did with their grants is done.
        self.alive[number].load(Ordering::Acquire) == 0
    }

    /// Makes a piece that nobody else has new.
    fn clear(&self, number: usize, piece: &mut Piece) -> io::Result<()> {
        if !self.is_whole(number)? {
            return Err(io::Error::other("pages were taken out of it"));
        }
        let memory = ForeignMemory::map(piece.file.try_clone()?, self.size)?;
        // All of it: who had a part could map the rest, too.
        memory.zero(0..self.size);
        piece.used = 0;
        Ok(())
    }

    /// Whether the pages of a piece are those that were registered. We never touch them where they are mapped behind the
    /// arena: where a page was punched out of the file, nothing is mapped since.
    fn is_whole(&self, number: usize) -> io::Result<bool> {
        let start = self.arena.base().addr().get() + self.offset_of(number, 0) as usize;
        let mut entries = vec![0; self.size / page_size() * 8];
        let mut map = File::open("/proc/self/pagemap")?;
        map.seek(SeekFrom::Start((start / page_size() * 8) as u64))?;
        map.read_exact(&mut entries)?;
        let is_present = |entry: &[u8; 8]| u64::from_ne_bytes(*entry) & IS_PRESENT != 0;
        Ok(entries.as_chunks::<8>().0.iter().all(is_present))
    }

    /// Where an octet of a piece is, from the beginning of the arena.
    fn offset_of(&self, piece: usize, start: usize) -> u64 {
        self.arena.capacity() + (piece * self.size + start) as u64
    }
}

impl Grant {
    /// Where it begins, from the beginning of `arena`; `None` if it lies behind another.
    #[inline]
    pub(crate) fn offset_in(&self, arena: &Arc<Arena>) -> Option<u64> {
        Arc::ptr_eq(&self.pool.arena, arena).then(|| self.pool.offset_of(self.piece, self.start))
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.pool.alive[self.piece].fetch_sub(1, Ordering::Release);
    }
}

/// A memfd whose size nobody can change.
fn create(size: usize) -> io::Result<OwnedFd> {
    let file = fs::memfd_create("afpa-pool", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    fs::ftruncate(&file, size as u64)?;
    fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    // The kernel counts as open what was opened, and not what memfd_create has made.
    reopen(&file)
}

/// The same file, opened once more.
fn reopen(file: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether nobody else has the file open, or mapped: a mapping keeps its open file. Only then it can be leased for writing.
fn is_alone(file: &OwnedFd) -> bool {
    let lease = |kind: libc::c_int| {
        // SAFETY: an integer is passed, and no memory is touched.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) == 0 }
    };
    lease(libc::F_WRLCK) && lease(libc::F_UNLCK)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("pieces", &self.alive.len()).field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::FallocateFlags;

    use super::*;

    const SIZE: usize = BLOCK;
    const OURS: Owner = Owner { user: 7, application: 1 };
    const SUCCESSOR: Owner = Owner { user: 7, application: 2 };
    const STRANGER: Owner = Owner { user: 8, application: 3 };

    /// One whose memory is there, as a device would have it.
    fn pool(count: usize) -> (Arc<Arena>, Arc<Pool>) {
        let (arena, pool) = Pool::behind_arena(1 << 20, count, SIZE).expect("a pool");
        arena.fix().expect("memory");
        (arena, pool)
    }

    fn granted(pool: &Arc<Pool>, owner: Owner, len: usize) -> Option<(ForeignMemory, usize)> {
        pool.grant(owner, len).expect("descriptors")
    }

    /// What a process has that was given the descriptor.
    fn mapped(memory: &ForeignMemory) -> ForeignMemory {
        ForeignMemory::map(memory.descriptor().try_clone_to_owned().unwrap(), SIZE).unwrap()
    }

    fn octets(memory: &ForeignMemory) -> Vec<u8> {
        let mut octets = vec![0; memory.len()];
        memory.read(0, &mut octets);
        octets
    }

    #[test]
    fn parts_of_one_application_lie_behind_each_other_where_the_device_finds_them() {
        let (arena, pool) = pool(1);
        let (first, start) = granted(&pool, OURS, 5000).unwrap();
        let (second, behind) = granted(&pool, OURS, SIZE - 8192).unwrap();
        assert_eq!((start, behind, first.len(), second.len()), (0, 8192, 5000, SIZE - 8192));
        assert!(granted(&pool, OURS, 1).is_none(), "it is full");
        let second = Arc::new(second);
        let offset = second.slice(10..20).offset_in(&arena).unwrap();
        assert_eq!(offset, arena.capacity() + 8192 + 10);
        second.write(10, b"registered");
        // What the device reads.
        let mut read = [0; 10];
        // SAFETY: within the mapping; the octets are written by nobody meanwhile.
        unsafe { std::ptr::copy_nonoverlapping(arena.base().as_ptr().add(offset as usize), read.as_mut_ptr(), 10) };
        assert_eq!(&read, b"registered");
        let other = Arena::new(1 << 20).unwrap();
        assert_eq!(second.slice(10..20).offset_in(&other), None);
    }

    #[test]
    fn a_successor_of_the_same_user_gets_zeros_when_nobody_has_it_any_more() {
        let (_arena, pool) = pool(1);
        let (memory, _) = granted(&pool, OURS, 100).unwrap();
        let theirs = mapped(&memory);
        theirs.write(0, &[7; SIZE]);
        assert!(granted(&pool, SUCCESSOR, 100).is_none(), "it is in use");
        drop(memory);
        assert!(granted(&pool, SUCCESSOR, 100).is_none(), "it is mapped");
        let descriptor = theirs.descriptor().try_clone_to_owned().unwrap();
        drop(theirs);
        assert!(granted(&pool, SUCCESSOR, 100).is_none(), "it is open");
        drop(descriptor);
        let (memory, start) = granted(&pool, SUCCESSOR, 8192).unwrap();
        assert_eq!(start, 0);
        assert!(octets(&memory).iter().all(|octet| *octet == 0));
    }

    #[test]
    fn another_user_gets_nothing_that_somebody_had() {
        let (_arena, pool) = pool(2);
        drop(granted(&pool, OURS, 100).unwrap());
        let (memory, _) = granted(&pool, STRANGER, 100).unwrap();
        assert!(granted(&pool, STRANGER, SIZE).is_none());
        drop(memory);
        assert!(granted(&pool, STRANGER, SIZE).is_some());
        assert!(granted(&pool, SUCCESSOR, SIZE).is_some());
    }

    #[test]
    fn what_an_application_of_root_had_is_its_own_again_and_no_other_s() {
        let (_arena, pool) = pool(1);
        let root = Owner { user: ROOT, application: 1 };
        drop(granted(&pool, root, SIZE).unwrap());
        assert!(granted(&pool, Owner { application: 2, ..root }, 100).is_none());
        drop(granted(&pool, root, SIZE).unwrap());
    }

    #[test]
    fn what_pages_were_taken_out_of_is_not_what_the_device_knows() {
        for touched in [false, true] {
            let (_arena, pool) = pool(1);
            let (memory, _) = granted(&pool, OURS, SIZE).unwrap();
            let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fs::fallocate(memory.descriptor().as_fd(), punch, 4096, 4096).unwrap();
            if touched {
                memory.write(4096, b"new");
            }
            drop(memory);
            assert!(granted(&pool, SUCCESSOR, 100).is_none(), "touched: {touched}");
        }
    }

    #[test]
    fn what_is_empty_or_too_large_is_not_granted() {
        let (_arena, pool) = pool(1);
        for len in [0, SIZE + 1, usize::MAX] {
            assert!(granted(&pool, OURS, len).is_none(), "{len}");
        }
        assert_eq!(pool.capacity(), SIZE as u64);
        assert!(Pool::behind_arena(1 << 20, 1, 4096).is_err());
    }
}
