//! Background revalidation: objects whose files have changed leave the cache.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Release;
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use afpa_cache::Cache;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::coding::Coding;
use super::details::Details;
use super::key::{purge_under, purge_url};
use super::notifier::{Change, Notifier, directories};
use super::site::Site;
use super::stamp::since_epoch;
use crate::kept::Kept;

/// A thread that keeps a site's cached objects true to its files. When it is dropped, those that it
/// looked after leave the cache.
///
/// Two means complement each other. inotify tells at once of changes in the directories that cached
/// files lie in. The sweep compares objects with their files by stat(2): every
/// [`revalidate_after`](super::SiteOptions::revalidate_after) those that inotify does not cover, which
/// are all that were reached through a link or that lie on a file system shared with other machines,
/// or in a directory beyond the limit on watches; and a share of the others, so that each has its
/// turn within ten seconds, and all of them every time if they are few.
///
/// Bounds: the thread remembers one weak reference for each cached representation. Events are taken
/// in bounded batches with a pause between, so a file that is written incessantly costs little.
pub struct Watch {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching what [`fill`](super::fill) puts into `cache` from `site` from now on.
    ///
    /// # Errors
    /// No thread or no descriptor is left. That inotify is not to be had is no error.
    pub fn start(site: Arc<Site>, cache: Arc<Cache<Kept>>) -> io::Result<Watch> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        site.watch_started();
        let notifier = Notifier::new(site.options().max_watches);
        let watcher = Watcher { site: site.clone(), cache, notifier, covered: VecDeque::new(), uncovered: Vec::new() };
        let thread = Builder::new().name("watch".into()).spawn({
            let stop = stop.clone();
            move || watcher.run(&stop)
        });
        match thread {
            Ok(thread) => Ok(Watch { stop, thread: Some(thread) }),
            Err(error) => {
                site.watch_ended();
                Err(error)
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Watcher {
    site: Arc<Site>,
    cache: Arc<Cache<Kept>>,
    notifier: Option<Notifier>,
    /// Objects of which inotify tells; the one at the front was looked at longest ago.
    covered: VecDeque<Weak<Details>>,
    uncovered: Vec<Weak<Details>>,
}

/// So many covered objects are looked at in every sweep.
const FEW: usize = 512;
/// Within this time each covered object has its turn.
const ROUND: Duration = Duration::from_secs(10);
/// Newcomers wait no longer than this to be taken over.
const PATIENCE: Duration = Duration::from_millis(250);
/// Between two batches of events.
const PAUSE: Duration = Duration::from_millis(5);

impl Watcher {
    fn run(mut self, stop: &OwnedFd) {
        let interval = self.site.options().revalidate_after.max(PAUSE);
        let mut next_sweep = Instant::now() + interval;
        while !self.wait(stop, PATIENCE.min(interval / 2)) {
            self.adopt();
            self.notice();
            if Instant::now() >= next_sweep {
                self.follow_root();
                self.sweep(interval);
                next_sweep = Instant::now() + interval;
            }
        }
        self.site.watch_ended();
        self.abandon();
    }

    /// Waits for events, but no longer than `patience`. Returns whether it is time to end.
    fn wait(&self, stop: &OwnedFd, patience: Duration) -> bool {
        let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
        fds.extend(self.notifier.as_ref().map(|notifier| PollFd::new(notifier, PollFlags::IN)));
        let _ = poll(&mut fds, Some(&patience));
        if !fds[0].revents().is_empty() {
            return true;
        }
        if fds.len() > 1 && !fds[1].revents().is_empty() {
            std::thread::sleep(PAUSE);
        }
        false
    }

    /// Takes over what was filled since the last time: first watches its directories, then looks, so
    /// that no change falls between.
    fn adopt(&mut self) {
        for newcomer in self.site.take_newcomers() {
            let Some(details) = newcomer.upgrade() else { continue };
            let covered = !details.origin.linked
                && self
                    .notifier
                    .as_mut()
                    .is_some_and(|notifier| notifier.cover(&self.site, &details.origin.dependencies.file));
            if self.check(&details) {
                if covered { self.covered.push_back(newcomer) } else { self.uncovered.push(newcomer) }
            }
        }
    }

    /// Purges what inotify tells of.
    fn notice(&mut self) {
        let changes = self.notifier.as_mut().map(Notifier::changes).unwrap_or_default();
        let (mut entries, mut unknown) = (HashSet::new(), false);
        for change in changes {
            match change {
                Change::Entry(path) => _ = entries.insert(path),
                Change::Directory(path) => self.lose(&path),
                Change::Unknown => unknown = true,
            }
        }
        for path in entries {
            self.purge_file(&path);
            self.lose(&path);
        }
        if unknown {
            self.sweep(ROUND);
        }
    }

    /// A directory, if it is one, was moved, replaced or closed to us: what came from it is void.
    fn lose(&mut self, directory: &[u8]) {
        let Some(notifier) = self.notifier.as_mut().filter(|notifier| notifier.watches_under(directory)) else {
            return;
        };
        notifier.forget_under(directory);
        let prefix = if directory.is_empty() { b"/".to_vec() } else { [b"/", directory, b"/"].concat() };
        purge_under(&self.cache, self.site.number(), &prefix);
    }

    /// Purges what can stem from `file`: itself, what it is the compressed neighbour of, and the
    /// directory of which either is the index.
    fn purge_file(&self, file: &[u8]) {
        let neighbours =
            Coding::BY_PREFERENCE.iter().filter_map(|coding| file.strip_suffix(coding.suffix().as_bytes()));
        for path in neighbours.chain([file]) {
            let url = [&b"/"[..], path].concat();
            let name = url.iter().rposition(|&octet| octet == b'/').map_or(0, |slash| slash + 1);
            purge_url(&self.cache, self.site.number(), &url);
            if self.site.options().index.iter().any(|index| index.as_bytes() == &url[name..]) {
                purge_url(&self.cache, self.site.number(), &url[..name]);
            }
        }
    }

    /// Serves another directory if the site's name leads to one now.
    fn follow_root(&mut self) {
        if self.site.reopen_if_replaced() {
            self.cache.purge_all();
            if let Some(notifier) = &mut self.notifier {
                notifier.forget_under(b"");
            }
        }
    }

    /// Purges all that nobody will look after.
    fn abandon(self) {
        let newcomers = self.site.take_newcomers();
        for details in self.covered.iter().chain(&self.uncovered).chain(&newcomers).filter_map(Weak::upgrade) {
            self.drop_from_cache(&details);
        }
    }

    /// Looks at all objects that are not covered, and at the share of the others that falls to
    /// `interval`.
    fn sweep(&mut self, interval: Duration) {
        let mut uncovered = std::mem::take(&mut self.uncovered);
        uncovered.retain(|weak| weak.upgrade().is_some_and(|details| self.check(&details)));
        self.uncovered = uncovered;

        let share = (self.covered.len() as u128 * interval.as_millis()).div_ceil(ROUND.as_millis()) as usize;
        for _ in 0..share.max(FEW).min(self.covered.len()) {
            let Some(weak) = self.covered.pop_front() else { break };
            if weak.upgrade().is_some_and(|details| self.check(&details)) {
                self.covered.push_back(weak);
            }
        }
        if let Some(notifier) = &mut self.notifier {
            notifier.collect(|| needed(&self.covered));
        }
    }

    /// Purges an object that no longer is what filling would give. Returns whether it is.
    fn check(&self, details: &Details) -> bool {
        let due = details.origin.renew_at.is_some_and(|at| since_epoch(SystemTime::now()) >= at);
        let holds = !due && details.origin.dependencies.hold(&self.site);
        if !holds {
            self.drop_from_cache(details);
        }
        holds
    }

    /// The mark goes first: whoever inserts an object with these details after the purge finds it gone,
    /// and announces them again.
    fn drop_from_cache(&self, details: &Details) {
        details.origin.watched.store(false, Release);
        purge_url(&self.cache, self.site.number(), &details.origin.url);
    }
}

/// The directories that lead to the objects' files.
fn needed(objects: &VecDeque<Weak<Details>>) -> HashSet<Box<[u8]>> {
    let alive: Vec<_> = objects.iter().filter_map(Weak::upgrade).collect();
    alive.iter().flat_map(|details| directories(&details.origin.dependencies.file)).map(Box::from).collect()
}
