//! What an object rests on.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;

use super::coding::Coding;
use super::resolve::stamp_at;
use super::site::Site;
use super::stamp::Stamp;

/// The names that were looked at for an object, and what was there. While they hold, filling it again
/// would give the same. All of them lie in one directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Dependencies {
    /// The index files that would have gone before, and were not there.
    pub(super) absent: Box<[Box<[u8]>]>,
    /// The file, from the site's root on.
    pub(super) file: Box<[u8]>,
    /// Its version.
    pub(super) stamp: Stamp,
    /// The versions of its neighbours, as [`Coding::BY_PREFERENCE`] has them. Most files have none.
    pub(super) neighbours: [Option<Box<Stamp>>; Coding::BY_PREFERENCE.len()],
}

impl Dependencies {
    /// Whether all is as it was.
    pub(super) fn hold(&self, site: &Site) -> bool {
        self.absent.iter().all(|path| leads_to(site, path, None))
            && leads_to(site, &self.file, Some(self.stamp))
            && (!site.options().precompressed || self.neighbours_hold(site))
    }

    fn neighbours_hold(&self, site: &Site) -> bool {
        Coding::BY_PREFERENCE
            .iter()
            .zip(&self.neighbours)
            .all(|(&coding, expected)| leads_to(site, &neighbour(&self.file, coding), expected.as_deref().copied()))
    }
}

/// The name of the neighbour of `file` that is encoded with `coding`.
pub(super) fn neighbour(file: &[u8], coding: Coding) -> Vec<u8> {
    [file, coding.suffix().as_bytes()].concat()
}

/// Whether `path` leads to `expected`, or to no regular file.
///
/// One statat(2) decides most cases. It does not know the site's rule on links, so it is believed
/// where it finds the very file or nothing at all.
fn leads_to(site: &Site, path: &[u8], expected: Option<Stamp>) -> bool {
    let found = statat(&*site.root(), Path::new(OsStr::from_bytes(path)), AtFlags::empty());
    match (found, expected) {
        (Ok(stat), Some(expected)) => Stamp::from_stat(&stat) == expected,
        (Err(Errno::NOENT), expected) => expected.is_none(),
        (Err(_), Some(_)) => false,
        (_, None) => stamp_at(site, path).unwrap_or(None).is_none(),
    }
}
