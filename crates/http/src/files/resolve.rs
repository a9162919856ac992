//! From a path to an open file, without ever leaving the site.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::error::FileError;
use super::site::Site;
use super::stamp::Stamp;

/// What a path leads to.
pub(super) enum Found {
    /// A file to send.
    File(Opened),
    /// A directory that was asked for without its slash.
    Slash,
    /// A directory to list.
    Listing(OwnedFd),
}

/// A regular file, open for reading.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) stamp: Stamp,
    /// Its name from the site's root on, without a leading slash.
    pub(super) path: Vec<u8>,
    /// Whether a symbolic link lies on the way or the file has other names, so that it can change
    /// without its name's directories noticing.
    pub(super) linked: bool,
    /// The files that would have been taken in its place, had they existed.
    pub(super) absent: Vec<Box<[u8]>>,
}

/// Finds what `url`, a normalised path with its leading slash, names.
pub(super) fn resolve(site: &Site, url: &[u8]) -> Result<Found, FileError> {
    let path = inside(url, site.options().dotfiles)?;
    if path.is_empty() || path.ends_with(b"/") {
        return resolve_directory(site, path);
    }
    match open_regular(site, path)? {
        Some(opened) => Ok(Found::File(opened)),
        None => Ok(Found::Slash),
    }
}

/// Opens the index file of a directory, or else the directory.
fn resolve_directory(site: &Site, path: &[u8]) -> Result<Found, FileError> {
    let mut absent = Vec::new();
    for name in &site.options().index {
        let index = [path, name.as_bytes()].concat();
        match open_regular(site, &index) {
            Ok(Some(opened)) => return Ok(Found::File(Opened { absent, ..opened })),
            Ok(None) => (),
            Err(error) if error.is_not_found() => (),
            Err(error) => return Err(error),
        }
        absent.push(index.into());
    }
    let directory = if path.is_empty() { b"." } else { path };
    let wanted = if site.options().listing { OFlags::RDONLY } else { OFlags::PATH };
    let (directory, _) = open_beneath(site, directory, wanted | OFlags::DIRECTORY)?;
    // A client that may not list a directory may know that it is there: 403, as most servers do.
    if site.options().listing { Ok(Found::Listing(directory)) } else { Err(FileError::Forbidden) }
}

/// Opens `path` for reading if it is a regular file; `None` if it is a directory.
///
/// The first look is through O_PATH, which opens nothing: a device is not started and a FIFO's
/// writer not woken by a request. O_NONBLOCK is for the race in which one takes the file's place.
pub(super) fn open_regular(site: &Site, path: &[u8]) -> Result<Option<Opened>, FileError> {
    let (seen, _) = open_beneath(site, path, OFlags::PATH)?;
    match file_type(&seen)? {
        FileType::RegularFile => (),
        FileType::Directory => return Ok(None),
        _ => return Err(FileError::NotFound),
    }
    let (fd, linked) = open_beneath(site, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(FileError::Changing);
    }
    let stamp = Stamp::from_stat(&stat);
    let linked = linked || stat.st_nlink > 1;
    Ok(Some(Opened { file: File::from(fd), stamp, path: path.to_vec(), linked, absent: Vec::new() }))
}

/// The stamp of the regular file that `path` names now, without opening it; `None` if there is none.
pub(super) fn stamp_at(site: &Site, path: &[u8]) -> Result<Option<Stamp>, FileError> {
    let seen = match open_beneath(site, path, OFlags::PATH) {
        Ok((seen, _)) => seen,
        Err(FileError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = fstat(&seen)?;
    Ok((FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| Stamp::from_stat(&stat)))
}

/// What the open file is.
pub(super) fn file_type(fd: &OwnedFd) -> Result<FileType, FileError> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

/// Opens `path` under the site's root and tells whether a symbolic link was on the way.
pub(super) fn open_beneath(site: &Site, path: &[u8], flags: OFlags) -> Result<(OwnedFd, bool), FileError> {
    let root = site.root();
    let mut resolve = ResolveFlags::NO_MAGICLINKS;
    if !site.options().follow_symlinks_outside {
        resolve |= ResolveFlags::BENEATH;
    }
    let path = Path::new(OsStr::from_bytes(path));
    let open = |resolve| retried(|| openat2(&*root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve));
    match open(resolve | ResolveFlags::NO_SYMLINKS) {
        Ok(fd) => Ok((fd, false)),
        Err(Errno::LOOP) => Ok((open(resolve)?, true)),
        Err(errno) => Err(errno.into()),
    }
}

/// A rename anywhere on the system may make a resolution beneath a directory fail with EAGAIN.
fn retried<T>(mut attempt: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    const ATTEMPTS: usize = 32;
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(Errno::AGAIN | Errno::INTR) => (),
            result => return result,
        }
    }
    attempt()
}

/// The path without its leading slash, if nothing in it is hidden or points upwards.
///
/// Requests come normalised, so only a mistake of ours lets `..` come here. It must not get further:
/// a site that follows links outside is not held by RESOLVE_BENEATH.
fn inside(url: &[u8], dotfiles: bool) -> Result<&[u8], FileError> {
    const MAX_PATH: usize = 4096;
    let Some((b'/', path)) = url.split_first() else { return Err(FileError::NotFound) };
    if path.len() >= MAX_PATH || path.contains(&0) {
        return Err(FileError::NotFound);
    }
    let mut segments = path.split(|&b| b == b'/').enumerate().peekable();
    while let Some((place, segment)) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"" if last => (),
            b"" | b"." | b".." => return Err(FileError::NotFound),
            // RFC 8615 §3: what is well known lies at the root.
            b".well-known" if place == 0 => (),
            [b'.', ..] if !dotfiles => return Err(FileError::NotFound),
            _ => (),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_within_the_site_are_looked_for() {
        for (url, dotfiles, expected) in [
            ("/", false, Some("")),
            ("/a/b.html", false, Some("a/b.html")),
            ("/a/", false, Some("a/")),
            ("/.well-known/acme", false, Some(".well-known/acme")),
            ("/a/.well-known/x", false, None),
            ("/.well-known/.secret", false, None),
            ("/.git/config", false, None),
            ("/.git/config", true, Some(".git/config")),
            ("/...", false, None),
            ("/...", true, Some("...")),
            ("/../etc/passwd", true, None),
            ("/a/../b", true, None),
            ("/a/./b", true, None),
            ("//etc/passwd", true, None),
            ("/a//b", true, None),
            ("/a\0b", true, None),
            ("a", true, None),
            ("", true, None),
        ] {
            let expected = expected.map(str::as_bytes).ok_or(FileError::NotFound);
            assert_eq!(inside(url.as_bytes(), dotfiles), expected, "{url:?}");
        }
        assert_eq!(inside(&[b"/".to_vec(), vec![b'a'; 5000]].concat(), false), Err(FileError::NotFound));
    }
}
