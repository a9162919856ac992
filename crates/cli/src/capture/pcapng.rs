//! The pcapng format (draft-ietf-opsawg-pcapng), as far as frames need it: written block by block, and
//! cut into blocks again.

use std::fmt;

use crate::stats::CapturedFrame;

/// The first block of a file, and what follows when interfaces, frames and their loss are told.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Tells the reader which end of a number comes first: with us the little one.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const ETHERNET: u16 = 1;
/// Times are counts of 10⁻⁹ s.
const NANOSECONDS: u8 = 9;

/// Numbers of options, each within its kind of block.
mod option {
    pub(super) const APPLICATION: u16 = 4;
    pub(super) const NAME: u16 = 2;
    pub(super) const TIME_RESOLUTION: u16 = 9;
    pub(super) const FLAGS: u16 = 2;
    pub(super) const DROP_COUNT: u16 = 4;
    pub(super) const DROPPED_BY_SYSTEM: u16 = 7;
}

/// The most octets of a block that is read: a frame of 64 KiB and what is told about it.
const LONGEST_BLOCK: usize = 128 << 10;
/// Kind and both lengths.
const SHORTEST_BLOCK: usize = 12;

/// Starts a file.
pub fn write_section(out: &mut Vec<u8>) {
    block(out, SECTION_HEADER, |out| {
        out.extend(BYTE_ORDER.to_le_bytes());
        // Version 1.0; how long the section is remains open.
        out.extend([1, 0, 0, 0]);
        out.extend(u64::MAX.to_le_bytes());
        write_option(out, option::APPLICATION, concat!("afpa ", env!("CARGO_PKG_VERSION")).as_bytes());
        end_options(out);
    });
}

/// Introduces the next interface; the first has number 0. `snap` is the most that is kept of a frame.
pub fn write_interface(out: &mut Vec<u8>, name: &str, snap: u32) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend(ETHERNET.to_le_bytes());
        out.extend([0, 0]);
        out.extend(snap.to_le_bytes());
        write_option(out, option::NAME, name.as_bytes());
        write_option(out, option::TIME_RESOLUTION, &[NANOSECONDS]);
        end_options(out);
    });
}

/// A frame. `dropped` is how many were lost since the one before it.
pub fn write_frame(out: &mut Vec<u8>, frame: &CapturedFrame, dropped: u64) {
    const INBOUND: u32 = 1;
    const OUTBOUND: u32 = 2;
    block(out, ENHANCED_PACKET, |out| {
        out.extend(frame.interface.to_le_bytes());
        write_time(out, frame.unix_nanos);
        out.extend(clamp(frame.octets.len()).to_le_bytes());
        out.extend(clamp(frame.length).to_le_bytes());
        out.extend(&frame.octets);
        pad(out, frame.octets.len());
        let direction = if frame.outgoing { OUTBOUND } else { INBOUND };
        write_option(out, option::FLAGS, &direction.to_le_bytes());
        if dropped > 0 {
            write_option(out, option::DROP_COUNT, &dropped.to_le_bytes());
        }
        end_options(out);
    });
}

/// Ends a file with how many frames were lost on `interface` in all.
pub fn write_statistics(out: &mut Vec<u8>, interface: u32, unix_nanos: u64, dropped: u64) {
    block(out, INTERFACE_STATISTICS, |out| {
        out.extend(interface.to_le_bytes());
        write_time(out, unix_nanos);
        write_option(out, option::DROPPED_BY_SYSTEM, &dropped.to_le_bytes());
        end_options(out);
    });
}

fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let length = clamp(out.len() - start + 4).to_le_bytes();
    out.extend(length);
    out[start + 4..start + 8].copy_from_slice(&length);
}

fn write_time(out: &mut Vec<u8>, unix_nanos: u64) {
    out.extend(((unix_nanos >> 32) as u32).to_le_bytes());
    out.extend((unix_nanos as u32).to_le_bytes());
}

/// Values longer than 64 KiB are cut: none of ours is.
fn write_option(out: &mut Vec<u8>, number: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend(number.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(&value[..length.into()]);
    pad(out, length.into());
}

fn end_options(out: &mut Vec<u8>) {
    out.extend([0; 4]);
}

fn pad(out: &mut Vec<u8>, length: usize) {
    out.extend(&[0; 3][..length.wrapping_neg() % 4]);
}

fn clamp(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Cuts octets that arrive bit by bit into blocks of a file that we wrote.
#[derive(Debug, Default)]
pub struct Blocks {
    pending: Vec<u8>,
    /// How much of it was handed out.
    taken: usize,
}

/// A whole block.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// All of it, as it stands in the file.
    pub octets: &'a [u8],
    /// What it tells.
    pub kind: Kind,
}

/// What a block tells, as far as its reader here wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A frame.
    Frame {
        /// How many were lost since the one before it.
        dropped: u64,
    },
    /// How many were lost in all: the last block.
    Statistics {
        /// That many.
        dropped: u64,
    },
    /// The section or an interface.
    Other,
}

/// What arrived is no file of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoBlock;

impl fmt::Display for NoBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the server sent is not pcapng")
    }
}

impl std::error::Error for NoBlock {}

impl Blocks {
    /// Adds what has arrived.
    pub fn push(&mut self, octets: &[u8]) {
        self.pending.drain(..self.taken);
        self.taken = 0;
        self.pending.extend_from_slice(octets);
    }

    /// The next whole block.
    ///
    /// # Errors
    /// What follows is no block, or one longer than 128 KiB.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, NoBlock> {
        let rest = &self.pending[self.taken..];
        let (Some(kind), Some(length)) = (number(rest, 0), number(rest, 4)) else { return Ok(None) };
        let length = length as usize;
        if !(SHORTEST_BLOCK..=LONGEST_BLOCK).contains(&length) || !length.is_multiple_of(4) {
            return Err(NoBlock);
        }
        let Some(octets) = rest.get(..length) else { return Ok(None) };
        if number(octets, length - 4) != number(octets, 4) {
            return Err(NoBlock);
        }
        self.taken += length;
        let kind = match kind {
            ENHANCED_PACKET => {
                let kept = number(octets, 20).ok_or(NoBlock)? as usize;
                let options = kept.checked_next_multiple_of(4).and_then(|kept| octets.get(28 + kept..length - 4));
                Kind::Frame { dropped: count_option(options.ok_or(NoBlock)?, option::DROP_COUNT) }
            }
            INTERFACE_STATISTICS => {
                let options = octets.get(20..length - 4).ok_or(NoBlock)?;
                Kind::Statistics { dropped: count_option(options, option::DROPPED_BY_SYSTEM) }
            }
            _ => Kind::Other,
        };
        Ok(Some(Block { octets, kind }))
    }
}

/// The value of a 64-bit option; 0 if it is not there.
fn count_option(mut options: &[u8], wanted: u16) -> u64 {
    while let [a, b, c, d, rest @ ..] = options {
        let (number, length) = (u16::from_le_bytes([*a, *b]), usize::from(u16::from_le_bytes([*c, *d])));
        if number == wanted {
            return rest.first_chunk().map_or(0, |value| u64::from_le_bytes(*value));
        }
        if number == 0 {
            break;
        }
        options = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    0
}

fn number(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|value| u32::from_le_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(octets: Vec<u8>, outgoing: bool) -> CapturedFrame {
        CapturedFrame { unix_nanos: 0x0102_0304_0506_0708, interface: 1, outgoing, length: octets.len() + 100, octets }
    }

    #[test]
    fn each_block_is_as_the_format_has_it() {
        let mut section = Vec::new();
        write_section(&mut section);
        assert_eq!(
            section[..24],
            *b"\x0a\x0d\x0d\x0a\x30\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"
        );
        assert_eq!(section[24..28], [4, 0, 10, 0], "the program's name has ten octets");
        assert_eq!(section.len(), 0x30);

        let mut interface = Vec::new();
        write_interface(&mut interface, "lab0", 256);
        let expected =
            b"\x01\0\0\0\x28\0\0\0\x01\0\0\0\0\x01\0\0\x02\0\x04\0lab0\x09\0\x01\0\x09\0\0\0\0\0\0\0\x28\0\0\0";
        assert_eq!(interface, expected, "{interface:x?}");

        let mut packet = Vec::new();
        write_frame(&mut packet, &frame(vec![0xaa; 5], true), 3);
        let expected = b"\x06\0\0\0\x40\0\0\0\x01\0\0\0\x04\x03\x02\x01\x08\x07\x06\x05\x05\0\0\0\x69\0\0\0\
            \xaa\xaa\xaa\xaa\xaa\0\0\0\x02\0\x04\0\x02\0\0\0\x04\0\x08\0\x03\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0";
        assert_eq!(packet, expected, "{packet:x?}");

        let mut statistics = Vec::new();
        write_statistics(&mut statistics, 0, 1, 7);
        let expected =
            b"\x05\0\0\0\x28\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x07\0\x08\0\x07\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0";
        assert_eq!(statistics, expected, "{statistics:x?}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_however_it_is_cut(
            frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<bool>(), 0u64..5), 0..20),
            cut in 1usize..64,
        ) {
            let mut file = Vec::new();
            write_section(&mut file);
            write_interface(&mut file, "lab0", 200);
            for (octets, outgoing, dropped) in &frames {
                write_frame(&mut file, &frame(octets.clone(), *outgoing), *dropped);
            }
            write_statistics(&mut file, 0, 0, 99);

            let mut blocks = Blocks::default();
            let (mut kinds, mut copy) = (Vec::new(), Vec::new());
            for piece in file.chunks(cut) {
                blocks.push(piece);
                while let Some(block) = blocks.next_block().unwrap() {
                    kinds.push(block.kind);
                    copy.extend_from_slice(block.octets);
                }
            }
            prop_assert_eq!(copy, file);
            let mut expected = vec![Kind::Other, Kind::Other];
            expected.extend(frames.iter().map(|(.., dropped)| Kind::Frame { dropped: *dropped }));
            expected.push(Kind::Statistics { dropped: 99 });
            prop_assert_eq!(kinds, expected);
        }

        #[test]
        fn no_octets_panic(octets: Vec<u8>, kind in 0u32..8, length in 0u32..64) {
            let mut blocks = Blocks::default();
            blocks.push(&kind.to_le_bytes());
            blocks.push(&length.to_le_bytes());
            blocks.push(&octets);
            while let Ok(Some(_)) = blocks.next_block() {}
        }
    }
}
