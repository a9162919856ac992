//! Addresses of the link.

use std::fmt;

/// The address of an interface on an Ethernet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Everyone on the link.
    pub const BROADCAST: MacAddress = MacAddress([0xff; 6]);

    /// Whether this is the address of a group, as the broadcast address is, and not of one interface.
    #[inline]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_everyone_writes_them() {
        assert_eq!(MacAddress([0x02, 0, 0x5e, 0x10, 0xff, 0x0a]).to_string(), "02:00:5e:10:ff:0a");
        assert_eq!(format!("{:?}", MacAddress::BROADCAST), "ff:ff:ff:ff:ff:ff");
    }

    #[test]
    fn groups_are_told_from_interfaces() {
        assert!(MacAddress::BROADCAST.is_group() && MacAddress([0x33, 0x33, 0, 0, 0, 1]).is_group());
        assert!(!MacAddress([0x02, 0xff, 0xff, 0xff, 0xff, 0xff]).is_group());
    }
}
