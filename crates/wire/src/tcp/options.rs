//! Options, out of a header and into it.

use super::{HEADER_LEN, MAX_HEADER_LEN, SackBlocks};
use crate::octets::{put, take};

/// The largest shift of a window (RFC 7323 §2.3).
pub const MAX_WINDOW_SCALE: u8 = 14;

/// Octets that the options of one header have.
const ROOM: usize = MAX_HEADER_LEN - HEADER_LEN;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// The options that this TCP understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The largest segment that the sender of this SYN can receive (RFC 9293 §3.7.1), in octets. May be
    /// absurdly small.
    pub mss: Option<u16>,
    /// By how many bits the sender of this SYN shifts its windows; at most [`MAX_WINDOW_SCALE`].
    pub window_scale: Option<u8>,
    /// Whether the sender of this SYN wants SACK options (RFC 2018 §2).
    pub sack_permitted: bool,
    /// Time, as the sender sees it (RFC 7323 §3).
    pub timestamps: Option<Timestamps>,
    /// What the sender has got out of order.
    pub sack: SackBlocks,
}

/// A timestamps option.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timestamps {
    /// The sender's clock (TSval).
    pub value: u32,
    /// The receiver's clock as the sender saw it last (TSecr); it means something if ACK is set.
    pub echo: u32,
}

impl Options {
    /// None.
    pub const NONE: Options =
        Options { mss: None, window_scale: None, sack_permitted: false, timestamps: None, sack: SackBlocks::NONE };

    /// Reads what is between the fixed header and the payload. Unknown options are skipped; a malformed
    /// one, and everything behind it, counts as not there (RFC 9293 §3.1 MUST-6, MUST-7). Of options that
    /// come twice the last one holds.
    #[inline]
    pub(super) fn parse(octets: &[u8]) -> Options {
        // What nearly every segment of an established connection has (RFC 7323 appendix A).
        if let [NOP, NOP, TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3] = *octets {
            let (value, echo) = (u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3]));
            return Options { timestamps: Some(Timestamps { value, echo }), ..Options::NONE };
        }
        if octets.is_empty() { Options::NONE } else { Options::parse_each(octets) }
    }

    fn parse_each(mut octets: &[u8]) -> Options {
        let mut options = Options::NONE;
        while let Some((&kind, rest)) = octets.split_first() {
            if kind == END {
                break;
            }
            if kind == NOP {
                octets = rest;
                continue;
            }
            // The length counts the kind and itself.
            let Some(length) = rest.first().map(|&length| usize::from(length)) else { break };
            let Some(data) = octets.get(2..length) else { break };
            if options.read(kind, data).is_none() {
                break;
            }
            octets = &octets[length..];
        }
        options
    }

    /// Takes in an option; none if it is one that we know, but not of its length.
    #[inline]
    fn read(&mut self, kind: u8, data: &[u8]) -> Option<()> {
        match kind {
            MSS => self.mss = Some(u16::from_be_bytes(data.try_into().ok()?)),
            WINDOW_SCALE => {
                let [shift] = data.try_into().ok()?;
                self.window_scale = Some(MAX_WINDOW_SCALE.min(shift));
            }
            SACK_PERMITTED => {
                let [] = data.try_into().ok()?;
                self.sack_permitted = true;
            }
            TIMESTAMPS => {
                let [v0, v1, v2, v3, e0, e1, e2, e3] = data.try_into().ok()?;
                let (value, echo) = (u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3]));
                self.timestamps = Some(Timestamps { value, echo });
            }
            SACK => {
                let (blocks, []) = data.as_chunks::<8>() else { return None };
                if blocks.is_empty() {
                    return None;
                }
                self.sack = blocks.iter().map(block).collect();
            }
            _ => {}
        }
        Some(())
    }

    /// How many octets [`Options::write`] writes: a multiple of 4, at most 40.
    #[inline]
    pub(super) fn len(&self) -> usize {
        let blocks = self.written_blocks();
        self.len_without_sack() + if blocks == 0 { 0 } else { 4 + 8 * blocks }
    }

    /// Writes the options, padded in front so that numbers lie at multiples of 4, and returns how many octets
    /// they took. SACK blocks for which there is no room are left out.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8]) -> usize {
        let mut end = 0;
        if let Some(mss) = self.mss {
            let [high, low] = mss.to_be_bytes();
            put(out, end, [MSS, 4, high, low]);
            end += 4;
        }
        if let Some(Timestamps { value, echo }) = self.timestamps {
            let before = if self.sack_permitted { [SACK_PERMITTED, 2] } else { [NOP, NOP] };
            put(out, end, before);
            put(out, end + 2, [TIMESTAMPS, 10]);
            put(out, end + 4, value.to_be_bytes());
            put(out, end + 8, echo.to_be_bytes());
            end += 12;
        } else if self.sack_permitted {
            put(out, end, [NOP, NOP, SACK_PERMITTED, 2]);
            end += 4;
        }
        if let Some(shift) = self.window_scale {
            put(out, end, [NOP, WINDOW_SCALE, 3, shift.min(MAX_WINDOW_SCALE)]);
            end += 4;
        }
        let blocks = self.written_blocks();
        if blocks != 0 {
            put(out, end, [NOP, NOP, SACK, (2 + 8 * blocks) as u8]);
            end += 4;
            for (first, behind) in self.sack.iter().take(blocks) {
                put(out, end, first.to_be_bytes());
                put(out, end + 4, behind.to_be_bytes());
                end += 8;
            }
        }
        end
    }

    /// At most 20.
    #[inline]
    fn len_without_sack(&self) -> usize {
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let window_scale = if self.window_scale.is_some() { 4 } else { 0 };
        let rest = match (self.timestamps, self.sack_permitted) {
            (Some(_), _) => 12,
            (None, true) => 4,
            (None, false) => 0,
        };
        mss + window_scale + rest
    }

    /// How many blocks there is room for, of those there are.
    #[inline]
    fn written_blocks(&self) -> usize {
        self.sack.len().min((ROOM - 4 - self.len_without_sack()) / 8)
    }
}

#[inline]
fn block(octets: &[u8; 8]) -> (u32, u32) {
    let half = |at| take(octets, at).map_or(0, u32::from_be_bytes);
    (half(0), half(4))
}
