//! inotify(7) on the directories that cached files lie in.

use std::collections::{BTreeMap, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{OFlags, fstatfs};

use super::resolve::open_beneath;
use super::site::Site;

/// A bounded number of watches, each on a directory of the site.
pub(super) struct Notifier {
    inotify: OwnedFd,
    limit: usize,
    paths: HashMap<i32, Box<[u8]>>,
    watches: BTreeMap<Box<[u8]>, i32>,
    was_full: bool,
}

/// What happened, by paths from the site's root on.
pub(super) enum Change {
    /// To the entry of this name, be it a file or a directory.
    Entry(Vec<u8>),
    /// To everything under this directory, which may be reached no more.
    Directory(Box<[u8]>),
    /// To anything: the kernel's queue ran over.
    Unknown,
}

/// Events taken at once: a site that changes faster than that is looked at again after a pause.
const MAX_EVENTS: usize = 4096;

impl Notifier {
    /// With up to `limit` watches; `None` if the kernel gives no inotify instance.
    pub(super) fn new(limit: usize) -> Option<Notifier> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        Some(Notifier { inotify, limit, paths: HashMap::new(), watches: BTreeMap::new(), was_full: false })
    }

    /// Watches the directories on the way to `file`, so that a change to any of them is told. Returns
    /// whether all are: not at the limit, nor on a file system that others can change.
    pub(super) fn cover(&mut self, site: &Site, file: &[u8]) -> bool {
        directories(file).all(|directory| self.watches.contains_key(directory) || self.watch(site, directory))
    }

    fn watch(&mut self, site: &Site, directory: &[u8]) -> bool {
        if self.watches.len() >= self.limit {
            self.was_full = true;
            return false;
        }
        let name = if directory.is_empty() { b"." } else { directory };
        let Ok((fd, _)) = open_beneath(site, name, OFlags::PATH | OFlags::DIRECTORY) else { return false };
        if !sees_every_change(&fd) {
            return false;
        }
        let flags = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        // inotify takes names, and only this one is sure to be the directory that was opened.
        let Ok(watch) = inotify::add_watch(&self.inotify, format!("/proc/self/fd/{}", fd.as_raw_fd()), flags) else {
            self.was_full = true;
            return false;
        };
        if self.paths.get(&watch).is_some_and(|known| **known != *directory) {
            // One directory under two names, by a bind mount: the second is not told of.
            return false;
        }
        self.paths.insert(watch, directory.into());
        self.watches.insert(directory.into(), watch);
        true
    }

    /// Whether `directory` or anything under it is watched.
    pub(super) fn watches_under(&self, directory: &[u8]) -> bool {
        self.under(directory).next().is_some()
    }

    fn under(&self, directory: &[u8]) -> impl Iterator<Item = (&[u8], i32)> {
        let directory = directory.to_vec();
        let start: Box<[u8]> = directory.as_slice().into();
        self.watches
            .range(start..)
            .take_while({
                let directory = directory.clone();
                move |(path, _)| path.starts_with(&directory)
            })
            .filter(move |(path, _)| directory.is_empty() || matches!(path.get(directory.len()), None | Some(b'/')))
            .map(|(path, &watch)| (&**path, watch))
    }

    /// What happened since the last call.
    pub(super) fn changes(&mut self) -> Vec<Change> {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut changes = Vec::new();
        // The reader fails when the queue is empty.
        while changes.len() < MAX_EVENTS
            && let Ok(event) = reader.next()
        {
            let Some(directory) = self.paths.get(&event.wd()) else {
                if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                    changes.push(Change::Unknown);
                }
                continue;
            };
            changes.push(match event.file_name() {
                Some(name) => Change::Entry(join(directory, name.to_bytes())),
                None => Change::Directory(directory.clone()),
            });
        }
        changes
    }

    /// Gives up the watches on `directory` and under it: their paths may lead elsewhere now.
    pub(super) fn forget_under(&mut self, directory: &[u8]) {
        let gone: Vec<_> = self.under(directory).map(|(path, watch)| (Box::from(path), watch)).collect();
        self.drop_watches(gone);
    }

    /// If the limit was met, gives up the watches for which `needed` does not hold.
    pub(super) fn collect(&mut self, needed: impl FnOnce() -> std::collections::HashSet<Box<[u8]>>) {
        if !std::mem::take(&mut self.was_full) {
            return;
        }
        let needed = needed();
        let idle = self.watches.iter().filter(|(path, _)| !needed.contains(*path));
        let idle: Vec<_> = idle.map(|(path, &watch)| (path.clone(), watch)).collect();
        self.drop_watches(idle);
    }

    fn drop_watches(&mut self, watches: Vec<(Box<[u8]>, i32)>) {
        for (path, watch) in watches {
            // Fails for a directory that is gone, whose watch went with it.
            let _ = inotify::remove_watch(&self.inotify, watch);
            self.paths.remove(&watch);
            self.watches.remove(&path);
        }
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The directories on the way to `file`, the root, which is empty, first.
pub(super) fn directories(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = file.iter().enumerate().filter(|&(_, &octet)| octet == b'/').map(|(place, _)| place);
    std::iter::once(0).chain(slashes).map(|end| &file[..end])
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// Whether every change to a directory's files passes through this kernel. On a network or user-level
/// file system another machine's or program's does not.
fn sees_every_change(directory: &OwnedFd) -> bool {
    const EXT: u32 = 0xef53;
    const XFS: u32 = 0x5846_5342;
    const BTRFS: u32 = 0x9123_683e;
    const BCACHEFS: u32 = 0xca45_1a4e;
    const F2FS: u32 = 0xf2f5_2010;
    const ZFS: u32 = 0x2fc1_2fc1;
    const TMPFS: u32 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58f6;
    const OVERLAYFS: u32 = 0x794c_7630;
    let local = [EXT, XFS, BTRFS, BCACHEFS, F2FS, ZFS, TMPFS, RAMFS, OVERLAYFS];
    // Some architectures widen the number with its sign.
    fstatfs(directory).is_ok_and(|stat| local.contains(&(stat.f_type as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::SiteOptions;

    #[test]
    fn the_way_to_a_file() {
        let way = |file: &str| {
            directories(file.as_bytes()).map(|d| String::from_utf8_lossy(d).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(way("f"), [""]);
        assert_eq!(way("a/b/f"), ["", "a", "a/b"]);
    }

    #[test]
    fn watches_are_bounded_collected_and_forgotten_by_subtree() {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["a/b", "ab", "c"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let site = Site::open(dir.path(), SiteOptions::default()).unwrap();
        let mut notifier = Notifier::new(4).expect("inotify");
        assert!(notifier.cover(&site, b"a/b/f"));
        assert!(notifier.cover(&site, b"ab/f"));
        assert!(!notifier.cover(&site, b"c/f"), "the limit is 4");
        assert!(!notifier.cover(&site, b"missing/f"));
        notifier.collect(|| [&b""[..], b"a", b"a/b"].into_iter().map(Box::from).collect());
        assert!(notifier.cover(&site, b"c/f"));
        assert!(notifier.watches_under(b"a"));
        notifier.forget_under(b"a");
        assert!(!notifier.watches_under(b"a") && notifier.watches_under(b"c") && notifier.watches_under(b""));
    }
}
