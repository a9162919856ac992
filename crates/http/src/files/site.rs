//! A directory that is served, and how.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::details::Details;
use super::flights::Flights;

/// How a [`Site`] answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteOptions {
    /// Tells the site from others in the same cache. Default: 0.
    pub number: u16,
    /// The names tried, in order, for a directory. Default: `index.html`.
    pub index: Vec<String>,
    /// Whether a directory without an index file is listed. Default: no, it is 403.
    pub listing: bool,
    /// Whether names that begin with a dot are served. Default: no, they are 404, but for
    /// `/.well-known/` (RFC 8615).
    pub dotfiles: bool,
    /// Whether a symbolic link may lead out of the directory. Default: no, it is 404. The kernel's
    /// rule decides (openat2's RESOLVE_BENEATH), so an absolute link leads out even if it points
    /// back in. Links within the directory are always followed.
    pub follow_symlinks_outside: bool,
    /// Whether `file.br`, `file.zst` and `file.gz` are sent in place of `file` to clients that
    /// accept the coding, unless older than it. Default: yes.
    pub precompressed: bool,
    /// Whether files of compressible types are compressed when they enter the cache. Default: yes.
    pub compress: bool,
    /// Which Cache-Control a response carries: the first rule that applies. Default: none.
    pub cache_control: Vec<CacheRule>,
    /// The charset of textual types. Default: `utf-8`; `None` sends no parameter.
    pub charset: Option<String>,
    /// Files of up to this many octets are held in the cache's memory, larger ones are sent by
    /// reference to the open file. Default: 1 MiB.
    pub max_pinned_object: u64,
    /// How many directories [`Watch`](super::Watch) may watch with inotify. What lies outside them
    /// is looked at every `revalidate_after`. Default: 8192.
    pub max_watches: usize,
    /// How often cached objects are compared with their files where inotify does not cover them.
    /// A changed or deleted file leaves the cache after at most 1.5 times as long. Default: 500 ms.
    pub revalidate_after: Duration,
}

impl Default for SiteOptions {
    fn default() -> SiteOptions {
        SiteOptions {
            number: 0,
            index: vec!["index.html".to_owned()],
            listing: false,
            dotfiles: false,
            follow_symlinks_outside: false,
            precompressed: true,
            compress: true,
            cache_control: Vec::new(),
            charset: Some("utf-8".to_owned()),
            max_pinned_object: 1 << 20,
            max_watches: 8192,
            revalidate_after: Duration::from_millis(500),
        }
    }
}

/// Gives a Cache-Control to some of the site's responses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CacheRule {
    /// To which.
    pub applies_to: Selector,
    /// The field's value, as in `public, max-age=3600`.
    pub value: String,
}

/// Chooses among paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selector {
    /// Every path.
    Everything,
    /// Paths that begin so, from the leading slash on.
    Prefix(String),
    /// Files whose name ends in a dot and this, in upper or lower case.
    Extension(String),
}

impl Selector {
    /// Whether a file answers to it: `url` is the path that was asked for, `file` the one that is sent
    /// (they differ for an index file).
    fn chooses(&self, url: &[u8], file: &[u8]) -> bool {
        match self {
            Selector::Everything => true,
            Selector::Prefix(prefix) => url.starts_with(prefix.as_bytes()),
            Selector::Extension(extension) => {
                let path = Path::new(OsStr::from_bytes(file));
                path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
            }
        }
    }
}

/// A directory that is served. Shared by the workers that fill the cache from it and the thread that
/// watches it.
pub struct Site {
    path: PathBuf,
    root: RwLock<Arc<File>>,
    options: SiteOptions,
    rules: Vec<(Selector, Arc<str>)>,
    pub(super) flights: Flights,
    newcomers: Mutex<Vec<Weak<Details>>>,
    watchers: AtomicUsize,
}

impl Site {
    /// Opens the directory `path`.
    ///
    /// # Errors
    /// It is not a directory that can be opened; the kernel has no openat2(2); or an option cannot
    /// be: an index name with a slash, a Cache-Control or charset with a control character.
    pub fn open(path: impl Into<PathBuf>, options: SiteOptions) -> io::Result<Site> {
        check(&options)?;
        let path = path.into();
        let root = open_root(&path)?;
        // Containers may forbid openat2; without it nothing keeps a path inside the site.
        openat2(&root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH)?;
        let rules = options.cache_control.iter().map(|r| (r.applies_to.clone(), r.value.as_str().into())).collect();
        Ok(Site {
            path,
            root: RwLock::new(Arc::new(root)),
            options,
            rules,
            flights: Flights::default(),
            newcomers: Mutex::default(),
            watchers: AtomicUsize::new(0),
        })
    }

    /// The directory's name, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its number among the sites.
    pub fn number(&self) -> u16 {
        self.options.number
    }

    /// How it is served.
    pub fn options(&self) -> &SiteOptions {
        &self.options
    }

    /// The directory that is served now.
    pub(super) fn root(&self) -> Arc<File> {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The Cache-Control for the file `file`, asked for as `url`.
    pub(super) fn cache_control(&self, url: &[u8], file: &[u8]) -> Option<Arc<str>> {
        self.rules.iter().find(|(selector, _)| selector.chooses(url, file)).map(|(_, value)| value.clone())
    }

    /// Follows the site's name to another directory: a deployment that swaps a symbolic link or
    /// renames a directory into place. Returns whether there was one, after which nothing cached
    /// counts. While the name leads nowhere the old directory stays.
    pub(super) fn reopen_if_replaced(&self) -> bool {
        let old = self.root();
        let (Ok(there), Ok(here)) = (self.path.metadata(), old.metadata()) else { return false };
        if (there.dev(), there.ino()) == (here.dev(), here.ino()) {
            return false;
        }
        let Ok(new) = open_root(&self.path) else { return false };
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        true
    }

    /// Tells the watch, if there is one, of an object that is in the store and has to be kept honest.
    pub(super) fn announce(&self, details: &Arc<Details>) {
        if self.watchers.load(Relaxed) > 0 && !details.origin.watched.swap(true, AcqRel) {
            self.newcomers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(details));
        }
    }

    /// What was announced since the last call.
    pub(super) fn take_newcomers(&self) -> Vec<Weak<Details>> {
        std::mem::take(&mut self.newcomers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn watch_started(&self) {
        self.watchers.fetch_add(1, Relaxed);
    }

    pub(super) fn watch_ended(&self) {
        self.watchers.fetch_sub(1, Relaxed);
    }
}

fn open_root(path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

fn check(options: &SiteOptions) -> io::Result<()> {
    let refuse = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if let Some(name) =
        options.index.iter().find(|n| n.is_empty() || n.contains(['/', '\0']) || *n == "." || *n == "..")
    {
        return refuse(format!("the index name {name:?} is not the name of a file"));
    }
    let values = options.cache_control.iter().map(|rule| &rule.value).chain(&options.charset);
    if let Some(value) = values.into_iter().find(|value| value.bytes().any(|b| b.is_ascii_control() || !b.is_ascii())) {
        return refuse(format!("the field value {value:?} cannot be sent: it is not printable ASCII"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_taken_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let rule = |applies_to, value: &str| CacheRule { applies_to, value: value.to_owned() };
        let options = SiteOptions {
            cache_control: vec![
                rule(Selector::Prefix("/assets/".into()), "immutable"),
                rule(Selector::Extension("html".into()), "no-cache"),
                rule(Selector::Everything, "max-age=60"),
            ],
            ..SiteOptions::default()
        };
        let site = Site::open(dir.path(), options).unwrap();
        for (url, file, value) in [
            ("/assets/x.html", "assets/x.html", "immutable"),
            ("/", "index.html", "no-cache"),
            ("/X.HTML", "X.HTML", "no-cache"),
            ("/html", "html", "max-age=60"),
        ] {
            assert_eq!(site.cache_control(url.as_bytes(), file.as_bytes()).as_deref(), Some(value), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_served_or_sent_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let with = |change: fn(&mut SiteOptions)| {
            let mut options = SiteOptions::default();
            change(&mut options);
            Site::open(dir.path(), options).map(|_| ()).unwrap_err().kind()
        };
        assert_eq!(with(|o| o.index = vec!["a/b".into()]), io::ErrorKind::InvalidInput);
        assert_eq!(with(|o| o.index = vec!["..".into()]), io::ErrorKind::InvalidInput);
        assert_eq!(with(|o| o.charset = Some("utf-8\r\nX: y".into())), io::ErrorKind::InvalidInput);
        let missing = Site::open(dir.path().join("no"), SiteOptions::default()).map(|_| ()).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
