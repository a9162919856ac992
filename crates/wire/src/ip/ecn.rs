//! Explicit congestion notification.

/// What a packet says about congestion (RFC 3168 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Ecn {
    /// The transport does not understand ECN: a router can only drop.
    #[default]
    NotCapable,
    /// The transport understands ECN; ECT(1).
    Capable1,
    /// The transport understands ECN; ECT(0), the one to send.
    Capable0,
    /// A router was congested.
    CongestionExperienced,
}

impl Ecn {
    /// From the last two bits of the traffic class; the others do not matter.
    #[inline]
    pub const fn from_bits(bits: u8) -> Ecn {
        match bits & 3 {
            0 => Ecn::NotCapable,
            1 => Ecn::Capable1,
            2 => Ecn::Capable0,
            _ => Ecn::CongestionExperienced,
        }
    }

    /// The two bits.
    #[inline]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}
