//! Which of a file's representations a client gets (RFC 9110 §12.1).

use super::coding::{Coding, Codings};
use super::compress::{MAX_COMPRESSED, MIN_COMPRESSED};
use super::dependencies::{self, Dependencies};
use super::error::FileError;
use super::resolve::{Opened, open_regular, stamp_at};
use super::site::Site;
use super::stamp::Stamp;

/// The outcome of proactive negotiation for one file.
pub(super) struct Choice {
    /// The file that was asked for.
    pub(super) original: Opened,
    /// Its precompressed neighbour, if that is what is sent.
    pub(super) neighbour: Option<(Coding, Opened)>,
    /// With what to compress the file, if there is no neighbour to send.
    pub(super) compress: Option<Coding>,
    /// Whether another client could get another representation.
    pub(super) varies: bool,
    /// What the choice rests on.
    pub(super) dependencies: Dependencies,
}

impl Choice {
    /// The file that is sent, or compressed and then sent.
    pub(super) fn source(&self) -> &Opened {
        self.neighbour.as_ref().map_or(&self.original, |(_, opened)| opened)
    }
}

/// Chooses for a client that accepts `accepts`: the best neighbour, else compression, else the file.
pub(super) fn choose(
    site: &Site,
    accepts: Codings,
    mut original: Opened,
    compressible: bool,
) -> Result<Choice, FileError> {
    let absent = std::mem::take(&mut original.absent).into();
    let file = original.path.as_slice().into();
    let mut dependencies = Dependencies { absent, file, stamp: original.stamp, neighbours: Default::default() };

    let mut neighbour = None;
    let mut varies = false;
    let codings = if site.options().precompressed { &Coding::BY_PREFERENCE[..] } else { &[] };
    for (&coding, seen) in codings.iter().zip(&mut dependencies.neighbours) {
        let path = dependencies::neighbour(&original.path, coding);
        // One that cannot be looked at is none.
        let found = stamp_at(site, &path).unwrap_or(None);
        *seen = found.map(Box::new);
        // One that is older was made from another version.
        let Some(stamp) = found.filter(|stamp| stamp.modified >= original.stamp.modified) else { continue };
        varies = true;
        if neighbour.is_none() && accepts.contains(coding) {
            neighbour = open_same(site, &path, stamp)?.map(|opened| (coding, opened));
        }
    }

    let could_compress =
        site.options().compress && compressible && (MIN_COMPRESSED..=MAX_COMPRESSED).contains(&original.stamp.size);
    varies |= could_compress;
    let compress = Coding::BY_PREFERENCE.into_iter().find(|&coding| accepts.contains(coding));
    let compress = compress.filter(|_| could_compress && neighbour.is_none());
    Ok(Choice { original, neighbour, compress, varies, dependencies })
}

/// Opens the neighbour that was just seen; `None` if it may not be read.
fn open_same(site: &Site, path: &[u8], seen: Stamp) -> Result<Option<Opened>, FileError> {
    match open_regular(site, path) {
        Ok(Some(opened)) if opened.stamp == seen => Ok(Some(opened)),
        Ok(_) | Err(FileError::NotFound) => Err(FileError::Changing),
        Err(FileError::Forbidden) => Ok(None),
        Err(error) => Err(error),
    }
}
