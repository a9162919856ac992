//! Large files whose octets are known without being kept: a hash would say less about where they differ.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

/// No multiple of a page, a segment or a power of two: what was moved to another place differs.
const PERIOD: usize = (8 << 20) - 9;

static OCTETS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..PERIOD.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(PERIOD).collect()
});

/// Writes a file of that many octets.
pub(crate) fn write(path: &Path, length: u64) {
    let mut file = File::create(path).unwrap();
    let mut left = length;
    while left > 0 {
        let count = left.min(PERIOD as u64) as usize;
        file.write_all(&OCTETS[..count]).unwrap();
        left -= count as u64;
    }
}

/// What such a file holds, compared piece by piece.
#[derive(Default)]
pub(crate) struct Comparison {
    at: u64,
}

impl Comparison {
    /// Octets compared so far.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next piece.
    pub(crate) fn take(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let from = (self.at % PERIOD as u64) as usize;
            let count = piece.len().min(PERIOD - from);
            if piece[..count] != OCTETS[from..from + count] {
                let wrong = piece.iter().zip(&OCTETS[from..]).position(|(ours, theirs)| ours != theirs).unwrap();
                panic!("octet {} of the file is wrong", self.at + wrong as u64);
            }
            self.at += count as u64;
            piece = &piece[count..];
        }
    }
}
