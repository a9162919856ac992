//! What outlives an exec: descriptors that are not closed by it stay the TCP server's in the new program. They are written
//! into a memfd, which the environment names.

use std::fmt::Write as _;
use std::io::Read as _;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use memnet::{Attachment, Bequest};
use rustix::fs::MemfdFlags;

use crate::application::Application;
use crate::offload::{server, set_aside};
use crate::raw::{self, Undisturbed};
use crate::table::{self, Entry, Kind};

/// Names the memfd's descriptor.
pub(crate) const VARIABLE: &str = "AFPA_OFFLOAD_TABLE";
/// What the memfd begins with.
const MAGIC: &str = "afpa-offload-1";

/// What is ready for the new program.
pub(crate) struct Will {
    application: &'static Application,
    bequest: Bequest,
    /// Not closed by exec.
    pub(crate) table: OwnedFd,
}

impl Will {
    /// `None` if nothing of the TCP server's outlives an exec.
    pub(crate) fn write() -> Option<Will> {
        let application = Application::current()?;
        let _undisturbed = Undisturbed::new();
        let stays = |descriptor| raw::fcntl(descriptor, libc::F_GETFD, 0).is_ok_and(|flags| flags & 1 == 0);
        let entries: Vec<(RawFd, Entry)> = table::all()
            .filter(|(_, entry)| entry.is_socket() && entry.application == application.index())
            .filter(|(descriptor, _)| stays(*descriptor))
            .collect();
        if entries.is_empty() {
            return None;
        }
        let mut slots = Vec::new();
        for (_, entry) in &entries {
            application.each_slot(*entry, |channel| slots.push(channel.number()));
        }
        let bequest = application.attachment().bequeath(slots.into_iter()).ok()?;
        let table = rustix::fs::memfd_create("afpa-offload", MemfdFlags::empty()).ok()?;
        let text = encode(bequest, &entries);
        rustix::io::pwrite(&table, text.as_bytes(), 0).ok().filter(|count| *count == text.len())?;
        Some(Will { application, bequest, table })
    }

    /// The exec has failed.
    pub(crate) fn revoke(self) {
        let _undisturbed = Undisturbed::new();
        self.application.attachment().take_back(self.bequest);
    }
}

/// At the start of a program: takes what the one before it has left.
pub(crate) fn receive() {
    let Some(descriptor) = std::env::var(VARIABLE).ok().and_then(|number| number.parse::<RawFd>().ok()) else { return };
    let Ok(borrowed) = raw::borrow(descriptor) else { return };
    // Whatever else has the number by now has no seals, and is left alone.
    if rustix::fs::fcntl_get_seals(borrowed).is_err() {
        return;
    }
    // SAFETY: a memfd of that number is what the environment says; nobody else in this program knows of it.
    let mut table = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    let mut text = String::new();
    if table.read_to_string(&mut text).is_err() {
        return;
    }
    let (Some((bequest, entries)), Some(path)) = (decode(&text), server()) else { return };
    let application = Attachment::inherit(path, bequest, set_aside).ok().and_then(|it| Application::add(it).ok());
    let Some(application) = application else { return };
    for (descriptor, entry) in entries {
        if application.attachment().region().has_slot(entry.number.into()) {
            table::put(descriptor, Some(Entry { application: application.index(), ..entry }));
        }
    }
    application.recount();
}

fn encode(bequest: Bequest, entries: &[(RawFd, Entry)]) -> String {
    let mut text = format!("{MAGIC} {} {:032x}\n", bequest.place, u128::from_be_bytes(bequest.token));
    for (descriptor, entry) in entries {
        let kind = if entry.kind == Kind::Listener { "listener" } else { "stream" };
        let _ = writeln!(text, "{descriptor} {kind} {} {}", entry.number, entry.generation);
    }
    text
}

fn decode(text: &str) -> Option<(Bequest, Vec<(RawFd, Entry)>)> {
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    if words.next()? != MAGIC {
        return None;
    }
    let place = words.next()?.parse().ok()?;
    let token = u128::from_str_radix(words.next()?, 16).ok()?.to_be_bytes();
    let entry = |line: &str| {
        let mut words = line.split(' ');
        let descriptor = words.next()?.parse().ok()?;
        let kind = match words.next()? {
            "listener" => Kind::Listener,
            "stream" => Kind::Stream,
            _ => return None,
        };
        let (number, generation) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((descriptor, Entry { kind, application: 0, number, generation }))
    };
    Some((Bequest { token, place }, lines.map(entry).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let bequest = Bequest { token: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255], place: 7 };
        let entries = [
            (0, Entry { kind: Kind::Stream, application: 0, number: 65535, generation: 3 }),
            (9, Entry { kind: Kind::Listener, application: 0, number: 0, generation: u32::MAX }),
        ];
        let text = encode(bequest, &entries);
        assert_eq!(decode(&text), Some((bequest, entries.to_vec())));
        assert_eq!(decode("something else"), None);
        assert_eq!(decode(&text.replace("stream", "epoll")), None);
    }
}
