//! The control bits.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// Control bits of a segment (RFC 9293 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// None.
    pub const NONE: Flags = Flags(0);
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// The sequence number is the initial one.
    pub const SYN: Flags = Flags(0x02);
    /// The connection is no more.
    pub const RST: Flags = Flags(0x04);
    /// To be given to the application without delay.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment number means something.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer means something.
    pub const URG: Flags = Flags(0x20);
    /// Congestion was experienced (RFC 3168).
    pub const ECE: Flags = Flags(0x40);
    /// The congestion window was reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x80);

    /// Whether all of `others` are set.
    #[inline]
    pub const fn contains(self, others: Flags) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether one of `others` is set.
    #[inline]
    pub const fn intersects(self, others: Flags) -> bool {
        self.0 & others.0 != 0
    }

    /// These but for `others`.
    #[inline]
    pub const fn without(self, others: Flags) -> Flags {
        Flags(self.0 & !others.0)
    }

    /// These and `others`, where `|` cannot be used.
    #[inline]
    pub const fn with(self, others: Flags) -> Flags {
        Flags(self.0 | others.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    #[inline]
    fn bitor(self, others: Flags) -> Flags {
        self.with(others)
    }
}

impl BitOrAssign for Flags {
    #[inline]
    fn bitor_assign(&mut self, others: Flags) {
        *self = self.with(others);
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let set = (0..8).filter(|bit| self.0 >> bit & 1 == 1).map(|bit| names[bit]);
        for (number, name) in set.enumerate() {
            let separator = if number == 0 { "" } else { "|" };
            write!(f, "{separator}{name}")?;
        }
        if self.0 == 0 { f.write_str("none") } else { Ok(()) }
    }
}
