//! What outlives an exec: descriptors that are not closed by it stay the TCP server's in the new program. They are written
//! into a memfd, which the environment names.

use std::collections::BTreeMap;
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
pub(crate) const MAGIC: &str = "afpa-offload-1";

/// What is done to the descriptors before the new program runs (posix_spawn(3)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// The second becomes a duplicate of the first, and stays open.
    Duplicate(RawFd, RawFd),
    /// It is closed, or another's.
    Close(RawFd),
    /// All from this one on are closed.
    CloseFrom(RawFd),
}

/// What is ready for the new program.
pub(crate) struct Will {
    application: &'static Application,
    bequest: Bequest,
    /// Not closed by exec.
    pub(crate) table: OwnedFd,
}

impl Will {
    /// `None` if nothing of the TCP server's outlives an exec.
    pub(crate) fn write(actions: &[Action]) -> Option<Will> {
        let application = Application::current()?;
        let _undisturbed = Undisturbed::new();
        let stays = |descriptor| raw::fcntl(descriptor, libc::F_GETFD, 0).is_ok_and(|flags| flags & 1 == 0);
        let all = table::all()
            .filter(|(_, entry)| entry.is_socket() && entry.application == application.index())
            .map(|(descriptor, entry)| (descriptor, (entry, stays(descriptor))));
        Will::of(left(all.collect(), actions))
    }

    /// `None` if there are none, or the server is gone.
    pub(crate) fn of(entries: Vec<(RawFd, Entry)>) -> Option<Will> {
        let application = Application::of(entries.first()?.1.application)?;
        let _undisturbed = Undisturbed::new();
        let mut slots = Vec::new();
        for (_, entry) in &entries {
            application.each_slot(*entry, |channel| slots.push(channel.number()));
        }
        let bequest = application.attachment().bequeath(slots.into_iter()).ok()?;
        let table = rustix::fs::memfd_create("afpa-offload", MemfdFlags::ALLOW_SEALING).ok()?;
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

/// Takes one socket that another process has passed. `None`: the server is gone, or has given it up.
pub(crate) fn claim(bequest: Bequest, entry: Entry) -> Option<Entry> {
    let _undisturbed = Undisturbed::new();
    let known =
        Application::all().find(|application| application.attachment().is_of(bequest) && !application.is_gone());
    let application = match known {
        Some(application) => application,
        None => Application::add(Attachment::inherit(server()?, bequest, set_aside).ok()?).ok()?,
    };
    if !application.attachment().region().has_slot(entry.number.into()) {
        return None;
    }
    let entry = Entry { application: application.index(), ..entry };
    application.claim(entry);
    if known.is_some() {
        // It was held for nobody on its way.
        application.attachment().take_back(bequest);
    }
    Some(entry)
}

/// The descriptors that are left, of those that there are and that stay open or do not.
fn left(mut all: BTreeMap<RawFd, (Entry, bool)>, actions: &[Action]) -> Vec<(RawFd, Entry)> {
    for action in actions {
        match *action {
            Action::Duplicate(from, to) => match all.get(&from).copied() {
                Some((entry, _)) => drop(all.insert(to, (entry, true))),
                None => drop(all.remove(&to)),
            },
            Action::Close(descriptor) => drop(all.remove(&descriptor)),
            Action::CloseFrom(first) => drop(all.split_off(&first)),
        }
    }
    all.into_iter().filter(|(_, (_, stays))| *stays).map(|(descriptor, (entry, _))| (descriptor, entry)).collect()
}

fn encode(bequest: Bequest, entries: &[(RawFd, Entry)]) -> String {
    let mut text = format!("{MAGIC} {} {:032x}\n", bequest.place, u128::from_be_bytes(bequest.token));
    for (descriptor, entry) in entries {
        let kind = if entry.kind == Kind::Listener { "listener" } else { "stream" };
        let _ = writeln!(text, "{descriptor} {kind} {} {}", entry.number, entry.generation);
    }
    text
}

pub(crate) fn decode(text: &str) -> Option<(Bequest, Vec<(RawFd, Entry)>)> {
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
    fn actions_are_done_in_their_order() {
        let entry = |number| Entry { kind: Kind::Stream, application: 0, number, generation: 1 };
        let all = || BTreeMap::from([(5, (entry(1), false)), (6, (entry(2), true))]);
        assert_eq!(left(all(), &[]), [(6, entry(2))]);
        let actions = [Action::Duplicate(5, 0), Action::Duplicate(6, 1), Action::Close(6), Action::Duplicate(9, 1)];
        assert_eq!(left(all(), &actions), [(0, entry(1))]);
        assert_eq!(left(all(), &[Action::Duplicate(5, 5), Action::CloseFrom(6)]), [(5, entry(1))]);
    }

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
