//! The header that is sent.

use super::{Flags, HEADER_LEN, Options};
use crate::octets::put;

/// What is written in front of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// From which port.
    pub source_port: u16,
    /// To which port.
    pub destination_port: u16,
    /// The number of the first octet of the payload, or of the SYN.
    pub sequence: u32,
    /// The number that is expected next.
    pub acknowledgment: u32,
    /// The control bits.
    pub flags: Flags,
    /// What can be taken in, scaled.
    pub window: u16,
    /// The options. SACK blocks for which the others leave no room are not sent: three fit beside
    /// timestamps.
    pub options: Options,
}

impl Header {
    /// How many octets [`Header::write`] writes: 20 to 60, 32 with timestamps alone.
    #[inline]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header, checksum and urgent pointer zero, to the front of `out` and returns how many
    /// octets it took.
    ///
    /// # Panics
    /// If `out` is shorter than that.
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> usize {
        let mut fixed = [0; HEADER_LEN];
        put(&mut fixed, 0, self.source_port.to_be_bytes());
        put(&mut fixed, 2, self.destination_port.to_be_bytes());
        put(&mut fixed, 4, self.sequence.to_be_bytes());
        put(&mut fixed, 8, self.acknowledgment.to_be_bytes());
        fixed[13] = self.flags.0;
        put(&mut fixed, 14, self.window.to_be_bytes());
        let length = HEADER_LEN + self.options.write(&mut out[HEADER_LEN..]);
        // Words of four octets, in the upper half; the length is at most 60.
        fixed[12] = (length << 2) as u8;
        put(out, 0, fixed);
        length
    }
}
