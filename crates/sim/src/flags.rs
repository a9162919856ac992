//! The flags of a TCP segment.

use std::fmt;
use std::ops::BitOr;

/// The eight flags (RFC 9293 §3.1, RFC 3168 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

/// Their names, from the lowest bit.
const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

#[allow(missing_docs, reason = "the names say it")]
impl Flags {
    pub const NONE: Flags = Flags(0);
    pub const FIN: Flags = Flags(1);
    pub const SYN: Flags = Flags(2);
    pub const RST: Flags = Flags(4);
    pub const PSH: Flags = Flags(8);
    pub const ACK: Flags = Flags(16);
    pub const URG: Flags = Flags(32);
    pub const ECE: Flags = Flags(64);
    pub const CWR: Flags = Flags(128);
}

impl Flags {
    /// Whether all of `others` are set.
    pub const fn contains(self, others: Flags) -> bool {
        self.0 & others.0 == others.0
    }

    /// These flags but for `others`.
    pub const fn without(self, others: Flags) -> Flags {
        Flags(self.0 & !others.0)
    }

    /// Reads `SYN,ACK`; `-` is no flag.
    pub fn named(text: &str) -> Option<Flags> {
        if text == "-" {
            return Some(Flags::NONE);
        }
        text.split(',').try_fold(Flags::NONE, |flags, word| {
            let bit = NAMES.iter().position(|name| *name == word)?;
            Some(flags | Flags(1 << bit))
        })
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("-");
        }
        let set = NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        for (place, (_, name)) in set.enumerate() {
            write!(f, "{}{name}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
