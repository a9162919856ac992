//! Content codings (RFC 9110 §8.4.1).

/// A content coding that a response may have. The order is the server's preference, best last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Coding {
    /// None.
    Identity,
    /// `gzip`, RFC 1952.
    Gzip,
    /// `zstd`, RFC 8878.
    Zstd,
    /// `br`, RFC 7932.
    Brotli,
}

impl Coding {
    /// Those that change the octets, best first.
    pub const BY_PREFERENCE: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// How Content-Encoding and Accept-Encoding name it; `None` for identity.
    pub const fn token(self) -> Option<&'static str> {
        match self {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Zstd => Some("zstd"),
            Coding::Brotli => Some("br"),
        }
    }

    /// What the name of a precompressed neighbour ends in; empty for identity.
    pub const fn suffix(self) -> &'static str {
        match self {
            Coding::Identity => "",
            Coding::Gzip => ".gz",
            Coding::Zstd => ".zst",
            Coding::Brotli => ".br",
        }
    }
}

/// A set of codings that a client accepts. Identity is in every set: a client that excludes it gets
/// it all the same when there is nothing else, as RFC 9110 §12.5.3 leaves open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Codings(u8);

impl Codings {
    /// Only identity.
    pub const NONE: Codings = Codings(0);

    const ALL: u8 = 0b111;

    /// The set with `coding` in it.
    pub const fn with(self, coding: Coding) -> Codings {
        Codings(self.0 | bit(coding))
    }

    /// Whether `coding` is in it.
    pub const fn contains(self, coding: Coding) -> bool {
        matches!(coding, Coding::Identity) || self.0 & bit(coding) != 0
    }

    /// The set as a small number.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set that [`Codings::bits`] gave; `None` if there is no such set.
    pub const fn from_bits(bits: u8) -> Option<Codings> {
        if bits <= Self::ALL { Some(Codings(bits)) } else { None }
    }

    /// Every set.
    pub fn all() -> impl Iterator<Item = Codings> {
        (0..=Self::ALL).map(Codings)
    }
}

const fn bit(coding: Coding) -> u8 {
    match coding {
        Coding::Identity => 0,
        Coding::Gzip => 1,
        Coding::Zstd => 2,
        Coding::Brotli => 4,
    }
}
