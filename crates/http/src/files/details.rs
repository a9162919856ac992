//! What the module remembers of a cached file.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use afpa_platform::source::SourceFile;

use super::coding::Coding;
use super::compress;
use super::dependencies::Dependencies;
use super::representation::Choice;
use super::stamp::{COARSE_GRANULARITY, Stamp, since_epoch};
use crate::syntax::date::imf_fixdate;

/// Everything that answers conditional, range and HEAD requests without the file, and that tells
/// whether the object is still what its file says.
pub struct Details {
    /// 200.
    pub status: u16,
    /// A strong entity tag with its quotes (RFC 9110 §8.8.3): a changed file has another one.
    pub etag: Box<str>,
    /// When the representation last changed, if that can serve as a validator.
    pub last_modified: Option<LastModified>,
    /// Content-Type's value.
    pub content_type: Box<str>,
    /// Octets of the payload.
    pub content_length: u64,
    /// Cache-Control's value, if there is one.
    pub cache_control: Option<Arc<str>>,
    /// Whether responses carry `Vary: Accept-Encoding`.
    pub varies: bool,
    /// The payload's coding.
    pub coding: Coding,
    /// Set when the payload is sent by reference to the file: to be asked while it is sent.
    pub witness: Option<Arc<SourceFile>>,
    /// Where it came from.
    pub(super) origin: Origin,
}

/// A modification date that lies at least a second behind the response's date, as RFC 9110 §8.8.2.2
/// wants of one that is used as a validator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastModified {
    /// Seconds since the epoch.
    pub seconds: u64,
    /// The same as an IMF-fixdate.
    pub text: [u8; 29],
}

/// What ties an object to the file system.
pub(super) struct Origin {
    /// The path that was asked for.
    pub(super) url: Box<[u8]>,
    /// What must stay as it is for the object to be true.
    pub(super) dependencies: Dependencies,
    /// Whether a link is involved, symbolic or hard, so that watching the names' directories is not
    /// enough.
    pub(super) linked: bool,
    /// Whose work the coding is.
    pub(super) compression: Compression,
    /// Whether the watch has it in its books, so that objects which share it are entered once.
    pub(super) watched: AtomicBool,
    /// When an object that was made just after its file changed is to be made anew: nanoseconds
    /// since the epoch. The next one has a modification date.
    pub(super) renew_at: Option<i64>,
}

/// What was done to the file's octets when it was cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compression {
    /// Nothing was to be done: they are sent as they are, be it from a neighbour.
    None,
    /// They were encoded.
    Done,
    /// It was tried, and they are sent as they are: there was no gain or no room. Remembered, or else
    /// every engine would try again and replace the object of the others.
    Declined,
}

impl Details {
    /// For `choice`, whose payload is `content_length` octets long, asked for as `url`.
    pub(super) fn new(
        url: &[u8],
        choice: &Choice,
        content_type: Box<str>,
        cache_control: Option<Arc<str>>,
        content_length: u64,
        compression: Compression,
        now: SystemTime,
    ) -> Details {
        let stamp = choice.source().stamp;
        let coding = coding(choice, compression == Compression::Done);
        let suffix = match compression {
            Compression::Done => compress::tag(coding),
            Compression::None | Compression::Declined => coding.token().unwrap_or(""),
        };
        let neighbour_linked = choice.neighbour.as_ref().is_some_and(|(_, opened)| opened.linked);
        Details {
            status: 200,
            etag: entity_tag(stamp, suffix),
            last_modified: last_modified(stamp, now),
            content_type,
            content_length,
            cache_control,
            varies: choice.varies,
            coding,
            witness: None,
            origin: Origin {
                url: url.into(),
                dependencies: choice.dependencies.clone(),
                linked: choice.original.linked || neighbour_linked,
                compression,
                watched: AtomicBool::new(false),
                renew_at: renew_at(stamp, now),
            },
        }
    }

    /// Whether filling for `choice` would make the same object.
    pub(super) fn is_for(&self, choice: &Choice) -> bool {
        let compress = choice.compress.is_some();
        let same = match self.origin.compression {
            Compression::None => !compress,
            Compression::Done => compress,
            Compression::Declined => true,
        };
        let encoded = self.origin.compression == Compression::Done;
        same && self.coding == coding(choice, encoded) && self.origin.dependencies == choice.dependencies
    }

    /// The immutable head: all fields but the mutable ones, with the empty line that ends them.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(512);
        let mut field = |name: &str, value: &[u8]| {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        };
        field("Content-Length", self.content_length.to_string().as_bytes());
        field("Content-Type", self.content_type.as_bytes());
        field("ETag", self.etag.as_bytes());
        if let Some(date) = &self.last_modified {
            field("Last-Modified", &date.text);
        }
        if let Some(value) = &self.cache_control {
            field("Cache-Control", value.as_bytes());
        }
        if let Some(token) = self.coding.token() {
            field("Content-Encoding", token.as_bytes());
        }
        if self.varies {
            field("Vary", b"Accept-Encoding");
        }
        field("Accept-Ranges", b"bytes");
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// The coding of what is sent for `choice`, compressed or not.
fn coding(choice: &Choice, compressed: bool) -> Coding {
    let neighbour = choice.neighbour.as_ref().map(|&(coding, _)| coding);
    neighbour.or(choice.compress.filter(|_| compressed)).unwrap_or(Coding::Identity)
}

/// The modification time alone would not do: archives and copies set it back, so two versions of the
/// same length may share it. The time of the inode's last change cannot be set. Representations that
/// differ in coding differ in tag (RFC 9110 §8.8.3.3).
fn entity_tag(stamp: Stamp, suffix: &str) -> Box<str> {
    let separator = if suffix.is_empty() { "" } else { "-" };
    format!("\"{:x}-{:x}-{:x}{separator}{suffix}\"", stamp.changed, stamp.size, stamp.inode).into()
}

/// None while the file may change again within the second that the date would name, nor for dates
/// in the future (RFC 9110 §8.8.2.1) or before the epoch. The entity tag does their work.
fn last_modified(stamp: Stamp, now: SystemTime) -> Option<LastModified> {
    let seconds = stamp.modified.div_euclid(NANOS);
    if seconds >= since_epoch(now).div_euclid(NANOS) - 1 {
        return None;
    }
    let seconds = u64::try_from(seconds).ok()?;
    Some(LastModified { seconds, text: imf_fixdate(seconds) })
}

fn renew_at(stamp: Stamp, now: SystemTime) -> Option<i64> {
    let settled = stamp.is_settled(now, COARSE_GRANULARITY);
    let recent = stamp.modified <= since_epoch(now);
    (!settled && recent).then(|| stamp.changed.saturating_add(COARSE_GRANULARITY.as_nanos() as i64))
}

const NANOS: i64 = 1_000_000_000;
