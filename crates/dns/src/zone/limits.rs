//! Bounds.

/// What a zone may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets that the zone's file and those that it includes may have together.
    pub file_octets: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { file_octets: 1 << 30 }
    }
}
