//! *Derive uncached response* (AFPA §3.2): one miss, answered from the file system.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use afpa_cache::{Body, Cache, Object};
use afpa_platform::source::SourceFile;

use super::coding::Codings;
use super::compress::compress;
use super::details::{Compression, Details};
use super::error::FileError;
use super::key::{RequestKey, purge_url};
use super::listing;
use super::representation::{Choice, choose};
use super::resolve::{Found, resolve};
use super::site::Site;
use super::stamp::{GRANULARITY, Stamp};
use crate::kept::Kept;
use crate::syntax::content_type;

/// How often a file that changes while it is read is read again. Each attempt waits for the file
/// system's clock at most once, so a hopeless file holds a worker for less than a fifth of a second.
const ATTEMPTS: usize = 8;

/// What became of a miss.
pub enum FillOutcome {
    /// An object, which is in the store now.
    Object(Arc<Object<Kept>>),
    /// The path names a directory and lacks its slash: 301. The location is percent-encoded; the
    /// caller appends the query as the client sent it.
    Redirect {
        /// The path with its slash.
        location: Vec<u8>,
    },
    /// An HTML listing of a directory: 200, not cached.
    Listing(Vec<u8>),
    /// No answer but this.
    Error(FileError),
}

/// Answers `key` from `site` and leaves what can be used again in `cache`. Blocks.
///
/// Concurrent calls for one path read its file once: the second waits, finds what the first has
/// stored and checks that it still holds.
pub fn fill(site: &Site, cache: &Cache<Kept>, key: RequestKey<'_>) -> FillOutcome {
    let _flight = site.flights.enter(key.path);
    for _ in 0..ATTEMPTS {
        match attempt(site, cache, key) {
            Err(FileError::Changing) => (),
            Err(error) => return FillOutcome::Error(error),
            Ok(outcome) => return outcome,
        }
    }
    FillOutcome::Error(FileError::Changing)
}

fn attempt(site: &Site, cache: &Cache<Kept>, key: RequestKey<'_>) -> Result<FillOutcome, FileError> {
    let original = match resolve(site, key.path)? {
        Found::File(original) => original,
        Found::Slash => return Ok(FillOutcome::Redirect { location: listing::encoded(&[key.path, b"/"].concat()) }),
        Found::Listing(directory) => return Ok(FillOutcome::Listing(listing::render(site, directory, key.path)?)),
    };
    let content_type = content_type::of_path(&original.path);
    let choice = choose(site, key.accepts, original, content_type::compressible(content_type))?;
    match stored(cache, key, &choice) {
        Some((accepts, object)) if accepts == key.accepts => return Ok(FillOutcome::Object(object)),
        Some((_, object)) => return share(site, cache, key, &object).map(FillOutcome::Object),
        None => (),
    }
    settle(choice.source().stamp)?;
    let maker = Maker { site, cache, url: key.path, content_type: with_charset(site, content_type) };
    let (body, details) = maker.make(&choice)?;
    Ok(FillOutcome::Object(store(site, cache, key, body, Arc::new(details))))
}

/// The object that `choice` would make, if the store has it for this key or, with the same outcome, for
/// other codings. If what the store has for the path does not hold any more, all of it goes.
fn stored(cache: &Cache<Kept>, key: RequestKey<'_>, choice: &Choice) -> Option<(Codings, Arc<Object<Kept>>)> {
    let mut octets = Vec::with_capacity(3 + key.path.len());
    let others = Codings::all().filter(|&accepts| accepts != key.accepts);
    for accepts in std::iter::once(key.accepts).chain(others) {
        RequestKey { accepts, ..key }.encode(&mut octets);
        let Some(object) = cache.lookup(&octets) else { continue };
        let Some(details) = object.details().file() else { continue };
        if details.origin.dependencies != choice.dependencies {
            purge_url(cache, key.site, key.path);
            return None;
        }
        if details.is_for(choice) {
            return Some((accepts, object));
        }
    }
    None
}

/// Gives the client the object of another. Looks once more afterwards: a change in between has purged
/// only what was there.
fn share(
    site: &Site,
    cache: &Cache<Kept>,
    key: RequestKey<'_>,
    other: &Object<Kept>,
) -> Result<Arc<Object<Kept>>, FileError> {
    let Some(details) = other.details().file() else { return Err(FileError::Changing) };
    let object = store(site, cache, key, other.body().clone(), details.clone());
    if details.origin.dependencies.hold(site) {
        return Ok(object);
    }
    purge_url(cache, key.site, key.path);
    Err(FileError::Changing)
}

/// Inserts an object and then tells the watch of it, also of one whose details another object has: the
/// watch may just have found that they do not hold, and purged what there was.
fn store(
    site: &Site,
    cache: &Cache<Kept>,
    key: RequestKey<'_>,
    body: Arc<Body>,
    details: Arc<Details>,
) -> Arc<Object<Kept>> {
    let mut octets = Vec::with_capacity(3 + key.path.len());
    key.encode(&mut octets);
    let object = cache.insert(&octets, body, Arc::new(Kept::File(details.clone())));
    site.announce(&details);
    object
}

/// Waits until a change to the file would show in its stamp, and has it looked at anew. Without that,
/// a second write within the same tick of the file system's clock would go unseen.
fn settle(stamp: Stamp) -> Result<(), FileError> {
    if stamp.is_settled(SystemTime::now(), GRANULARITY) {
        return Ok(());
    }
    std::thread::sleep(GRANULARITY);
    Err(FileError::Changing)
}

/// Makes the object of a choice.
struct Maker<'a> {
    site: &'a Site,
    cache: &'a Cache<Kept>,
    url: &'a [u8],
    content_type: Box<str>,
}

impl Maker<'_> {
    /// Encodes the file if that was chosen and is worth it; sends it from memory if there is room.
    fn make(&self, choice: &Choice) -> Result<(Arc<Body>, Details), FileError> {
        let mut compression = Compression::None;
        if let Some(coding) = choice.compress {
            let contents = read_whole(&choice.original.file, choice.original.stamp)?;
            if let Some(encoded) = compress(coding, &contents) {
                let details = self.details(choice, encoded.len() as u64, Compression::Done);
                if let Some(body) = self.in_memory(choice, &details, &encoded[..])? {
                    return Ok((body, details));
                }
            }
            compression = Compression::Declined;
        }
        let (source, length) = (choice.source(), choice.source().stamp.size);
        let mut details = self.details(choice, length, compression);
        if length <= self.site.options().max_pinned_object
            && let Some(body) = self.in_memory(choice, &details, &source.file)?
        {
            return Ok((body, details));
        }
        // The second level (AFPA §3.4): the head is in memory, the payload stays in the file.
        let file = Arc::new(SourceFile::new(source.file.try_clone()?)?);
        unchanged(&source.file, source.stamp)?;
        details.witness = Some(file.clone());
        let body = self.cache.fill_file(&details.head(), file, length).map_err(|_| FileError::Exhausted)?;
        Ok((body, details))
    }

    /// Reads `contents` into cache memory; `None` if there is no room, even after eviction.
    fn in_memory(
        &self,
        choice: &Choice,
        details: &Details,
        mut contents: impl Read,
    ) -> Result<Option<Arc<Body>>, FileError> {
        let Ok(mut filling) = self.cache.fill(&details.head(), details.content_length) else { return Ok(None) };
        filling.read_from(&mut contents)?;
        unchanged(&choice.source().file, choice.source().stamp)?;
        Ok(Some(filling.finish()))
    }

    fn details(&self, choice: &Choice, length: u64, compression: Compression) -> Details {
        let cache_control = self.site.cache_control(self.url, &choice.original.path);
        let content_type = self.content_type.clone();
        Details::new(self.url, choice, content_type, cache_control, length, compression, SystemTime::now())
    }
}

fn with_charset(site: &Site, content_type: &str) -> Box<str> {
    match &site.options().charset {
        Some(charset) if content_type::is_text(content_type) => format!("{content_type}; charset={charset}").into(),
        _ => content_type.into(),
    }
}

/// The file's contents, which are those of one version.
fn read_whole(file: &File, stamp: Stamp) -> Result<Vec<u8>, FileError> {
    let mut contents = vec![0; usize::try_from(stamp.size).map_err(|_| FileError::Exhausted)?];
    file.read_exact_at(&mut contents, 0)?;
    unchanged(file, stamp)?;
    Ok(contents)
}

fn unchanged(file: &File, stamp: Stamp) -> Result<(), FileError> {
    if Stamp::of(file)? == stamp { Ok(()) } else { Err(FileError::Changing) }
}
