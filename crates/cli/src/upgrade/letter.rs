//! What predecessor and successor write to each other.

use std::fmt;

use super::{MAX_SOCKETS, Role};
use crate::config::Interface;
use crate::units::ListenAddress;

/// The octets of the longest letter. What is longer is cut off by whoever writes it.
pub(super) const MAX_LETTER: usize = 4096;

/// The first word of a greeting: another form would have another number.
const VERSION: &str = "afpa-upgrade-1";

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letter {
    /// The predecessor's first.
    Greeting {
        /// Whether its sockets block is a matter of the interface, and the same for both.
        io: Interface,
        /// How many sockets follow: at most [`MAX_SOCKETS`].
        sockets: usize,
    },
    /// A socket, whose descriptor comes with it.
    Socket {
        /// What it is for.
        role: Role,
        /// Which belong together.
        door: u16,
        /// Where it listens, as it was configured.
        asked: ListenAddress,
    },
    /// The successor serves: its line for the operator.
    Ready(String),
    /// It cannot: why.
    Failed(String),
}

/// What cannot be read as a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other program says something that this one does not understand")
    }
}

impl Letter {
    /// As it is sent.
    pub fn write(&self) -> Vec<u8> {
        let text = match self {
            Letter::Greeting { io, sockets } => format!("{VERSION} {io} {sockets}"),
            Letter::Socket { role, door, asked } => format!("socket {} {door} {asked}", role.word()),
            Letter::Ready(line) => format!("ready {line}"),
            Letter::Failed(reason) => format!("failed {reason}"),
        };
        text.as_bytes()[..end_of_beginning(&text, MAX_LETTER)].to_vec()
    }

    /// Reads what was sent.
    ///
    /// # Errors
    /// It is no letter, or says what cannot be.
    pub fn read(octets: &[u8]) -> Result<Letter, Malformed> {
        let text = str::from_utf8(octets).ok().filter(|text| text.len() <= MAX_LETTER).ok_or(Malformed)?;
        let (kind, rest) = text.split_once(' ').ok_or(Malformed)?;
        match kind {
            VERSION => {
                let (io, sockets) = rest.split_once(' ').ok_or(Malformed)?;
                let io = io.parse().ok().filter(|io| *io != Interface::Auto).ok_or(Malformed)?;
                let sockets = sockets.parse().ok().filter(|sockets| *sockets <= MAX_SOCKETS).ok_or(Malformed)?;
                Ok(Letter::Greeting { io, sockets })
            }
            "socket" => {
                let mut words = rest.splitn(3, ' ');
                let mut word = || words.next().ok_or(Malformed);
                let role = Role::of_word(word()?).ok_or(Malformed)?;
                let door = word()?.parse().map_err(|_| Malformed)?;
                let asked = word()?.parse().map_err(|_| Malformed)?;
                Ok(Letter::Socket { role, door, asked })
            }
            "ready" => Ok(Letter::Ready(rest.to_owned())),
            "failed" => Ok(Letter::Failed(rest.to_owned())),
            _ => Err(Malformed),
        }
    }
}

impl Role {
    const ALL: [Role; 4] = [Role::Http, Role::Passed, Role::Dns, Role::Admin];

    fn word(self) -> &'static str {
        match self {
            Role::Http => "http",
            Role::Passed => "passed",
            Role::Dns => "dns",
            Role::Admin => "admin",
        }
    }

    fn of_word(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// Where the longest beginning that is text ends, of at most `most` octets.
fn end_of_beginning(text: &str, most: usize) -> usize {
    (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letters_are_read_as_they_were_written() {
        let asked = |text: &str| text.parse::<ListenAddress>().unwrap();
        for letter in [
            Letter::Greeting { io: Interface::Uring, sockets: 0 },
            Letter::Greeting { io: Interface::Epoll, sockets: MAX_SOCKETS },
            Letter::Socket { role: Role::Http, door: 0, asked: asked("127.0.0.1:0") },
            Letter::Socket { role: Role::Http, door: 65_535, asked: asked("unix:/run/a b.sock") },
            Letter::Socket { role: Role::Passed, door: 3, asked: asked("[::1]:80") },
            Letter::Socket { role: Role::Dns, door: 4, asked: asked("0.0.0.0:53") },
            Letter::Socket { role: Role::Admin, door: 5, asked: asked("127.0.0.1:9090") },
            Letter::Ready("serving /srv on http://127.0.0.1:80".into()),
            Letter::Failed("no".into()),
        ] {
            assert_eq!(Letter::read(&letter.write()), Ok(letter));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            "",
            "ready",
            "hello world",
            "afpa-upgrade-2 uring 1",
            "afpa-upgrade-1 auto 1",
            "afpa-upgrade-1 uring -1",
            "afpa-upgrade-1 uring 16385",
            "socket http 0",
            "socket http 65536 127.0.0.1:0",
            "socket smtp 0 127.0.0.1:0",
            "socket http 0 127.0.0.1",
            "socket http 0 unix:relative",
        ] {
            assert_eq!(Letter::read(text.as_bytes()), Err(Malformed), "{text}");
        }
        assert_eq!(Letter::read(b"ready \xff"), Err(Malformed));
    }

    #[test]
    fn a_long_reason_is_cut_off_between_characters() {
        let written = Letter::Failed("ä".repeat(MAX_LETTER)).write();
        assert!(written.len() <= MAX_LETTER);
        assert!(matches!(Letter::read(&written), Ok(Letter::Failed(reason)) if reason.starts_with("ä")));
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_alike(octets in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(letter) = Letter::read(&octets) {
                prop_assert_eq!(Letter::read(&letter.write()), Ok(letter));
            }
        }
    }
}
