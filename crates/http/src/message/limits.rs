//! Bounds on a request's head.

/// How large a request's head may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets of all field lines together, with their line ends: 431 above. Default 32 KiB; at most
    /// [`Limits::LARGEST`].
    pub header_size: usize,
    /// Field lines: 431 above. Default 100.
    pub headers: usize,
    /// Octets of the request target: 414 above. Default 8 KiB, at most [`Limits::LARGEST`]. RFC 9112 §3
    /// recommends that 8000 octets of request line be supported.
    pub target: usize,
}

impl Limits {
    /// The largest `header_size` and the largest `target`; a larger one counts as this.
    pub const LARGEST: usize = 1 << 24;

    /// What the request line has besides its target, and the empty lines before it.
    pub(super) const LINE: usize = 64;

    /// The most octets that a head can have: what a caller must be able to hold.
    pub fn head_size(&self) -> usize {
        Self::LINE + self.target() + self.header_size()
    }

    pub(super) fn target(&self) -> usize {
        self.target.min(Self::LARGEST)
    }

    pub(super) fn header_size(&self) -> usize {
        self.header_size.min(Self::LARGEST)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { header_size: 32 * 1024, headers: 100, target: 8 * 1024 }
    }
}
