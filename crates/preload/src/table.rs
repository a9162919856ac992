//! What the process's descriptors are: one word for each, looked at without a lock before every call.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Descriptors that can be ours: more than any process has by default. Pages of it that are never touched cost nothing.
const DESCRIPTORS: usize = 1 << 20;
static TABLE: [AtomicU64; DESCRIPTORS] = [const { AtomicU64::new(0) }; DESCRIPTORS];
/// One more than the highest number that was ever in the table.
static END: AtomicUsize = AtomicUsize::new(0);

/// What a descriptor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A connection of the TCP server.
    Stream,
    /// A socket on which the TCP server listens.
    Listener,
    /// An epoll instance, of the kernel as well.
    Epoll,
    /// This library's own: what programs may not close.
    Own,
}

/// A descriptor that is not only the kernel's. All of it fits a word, so that nothing has to be freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Which of the process's applications it is of; `0..64`.
    pub(crate) application: u8,
    /// Its slot, the first one of a listener; or the number of an epoll instance.
    pub(crate) number: u16,
    /// The use of the slot or of the epoll instance.
    pub(crate) generation: u32,
}

impl Entry {
    /// This library's own.
    pub(crate) const OWN: Entry = Entry { kind: Kind::Own, application: 0, number: 0, generation: 0 };

    pub(crate) fn encode(self) -> u64 {
        let kind = match self.kind {
            Kind::Stream => 1,
            Kind::Listener => 2,
            Kind::Epoll => 3,
            Kind::Own => 4,
        };
        kind | u64::from(self.application) << 8 | u64::from(self.number) << 16 | u64::from(self.generation) << 32
    }

    pub(crate) fn decode(word: u64) -> Option<Entry> {
        let kind = match word & 0xff {
            1 => Kind::Stream,
            2 => Kind::Listener,
            3 => Kind::Epoll,
            4 => Kind::Own,
            _ => return None,
        };
        Some(Entry {
            kind,
            application: (word >> 8) as u8,
            number: (word >> 16) as u16,
            generation: (word >> 32) as u32,
        })
    }

    /// Whether it is a socket of the TCP server.
    pub(crate) fn is_socket(self) -> bool {
        matches!(self.kind, Kind::Stream | Kind::Listener)
    }
}

thread_local! {
    static CLOSING: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, the thread may close what is this library's own: std's descriptors close themselves by the function
/// that programs call.
pub(crate) struct Closing(());

impl Closing {
    pub(crate) fn new() -> Closing {
        CLOSING.set(CLOSING.get() + 1);
        Closing(())
    }

    /// Whether it is this library that closes.
    pub(crate) fn is_going_on() -> bool {
        CLOSING.get() != 0
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        CLOSING.set(CLOSING.get() - 1);
    }
}

/// What the descriptor is; `None` if it is the kernel's alone.
#[inline]
pub(crate) fn get(descriptor: RawFd) -> Option<Entry> {
    let word = TABLE.get(descriptor as usize)?.load(Ordering::Acquire);
    if word == 0 { None } else { Entry::decode(word) }
}

/// Says what the descriptor is; returns what it was before.
pub(crate) fn put(descriptor: RawFd, entry: Option<Entry>) -> Option<Entry> {
    let place = TABLE.get(descriptor as usize)?;
    if entry.is_some() {
        END.fetch_max(descriptor as usize + 1, Ordering::AcqRel);
    }
    Entry::decode(place.swap(entry.map_or(0, Entry::encode), Ordering::AcqRel))
}

/// Whether a descriptor of that number can be in the table.
pub(crate) fn has_place(descriptor: RawFd) -> bool {
    (descriptor as usize) < DESCRIPTORS
}

/// Whether any descriptor was ever in the table.
#[inline]
pub(crate) fn is_empty() -> bool {
    END.load(Ordering::Relaxed) == 0
}

/// All that are in the table.
pub(crate) fn all() -> impl Iterator<Item = (RawFd, Entry)> {
    let end = END.load(Ordering::Acquire);
    (0..end as RawFd).filter_map(|descriptor| Some((descriptor, get(descriptor)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        for kind in [Kind::Stream, Kind::Listener, Kind::Epoll, Kind::Own] {
            let entry = Entry { kind, application: 63, number: u16::MAX, generation: u32::MAX };
            assert_eq!(Entry::decode(entry.encode()), Some(entry));
        }
        assert_eq!(Entry::decode(0), None);
    }

    #[test]
    fn what_was_put_is_found_until_it_is_replaced() {
        let entry = Entry { kind: Kind::Stream, application: 1, number: 2, generation: 3 };
        assert_eq!(put(700_000, Some(entry)), None);
        assert_eq!(get(700_000), Some(entry));
        assert!(all().any(|found| found == (700_000, entry)));
        assert_eq!(put(700_000, None), Some(entry));
        assert_eq!(get(700_000), None);
    }

    #[test]
    fn numbers_that_no_descriptor_has_are_the_kernels() {
        for number in [-1, RawFd::MIN, RawFd::MAX, DESCRIPTORS as RawFd] {
            assert_eq!(get(number), None);
            assert_eq!(put(number, Some(Entry::OWN)), None);
        }
    }
}
