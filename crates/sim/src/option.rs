//! One option of a TCP segment.

use std::fmt;

/// An option as it lies in the header; the padding is not shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TcpOption {
    /// RFC 9293 §3.2.
    Mss(u16),
    /// RFC 7323 §2.
    WindowScale(u8),
    /// RFC 2018 §2.
    SackPermitted,
    /// RFC 2018 §3: left and right edges.
    Sack(Vec<(u32, u32)>),
    /// RFC 7323 §3.
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The last value seen from the other side.
        echo: u32,
    },
    /// Octets that are written as they are: kind, length and contents of whatever a test likes.
    Raw(Vec<u8>),
}

impl TcpOption {
    /// Appends the option's octets, without padding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            TcpOption::Mss(mss) => {
                out.extend([2, 4]);
                out.extend(mss.to_be_bytes());
            }
            TcpOption::WindowScale(shift) => out.extend([3, 3, *shift]),
            TcpOption::SackPermitted => out.extend([4, 2]),
            TcpOption::Sack(blocks) => {
                out.extend([5, (2 + 8 * blocks.len()) as u8]);
                for (left, right) in blocks {
                    out.extend(left.to_be_bytes());
                    out.extend(right.to_be_bytes());
                }
            }
            TcpOption::Timestamps { value, echo } => {
                out.extend([8, 10]);
                out.extend(value.to_be_bytes());
                out.extend(echo.to_be_bytes());
            }
            TcpOption::Raw(octets) => out.extend(octets),
        }
    }

    /// Reads the options of a header. The stack under test writes no malformed ones: they are an error.
    pub(crate) fn decode_all(mut octets: &[u8]) -> Result<Vec<TcpOption>, String> {
        let mut options = Vec::new();
        while let Some((&kind, rest)) = octets.split_first() {
            match kind {
                0 => {
                    let padded = rest.iter().all(|octet| *octet == 0);
                    return if padded { Ok(options) } else { Err("octets after the end of options".into()) };
                }
                1 => octets = rest,
                _ => {
                    let length = usize::from(*rest.first().ok_or("an option without a length")?);
                    let whole = octets.get(..length).filter(|_| length >= 2).ok_or("an option that is too long")?;
                    options.push(Self::decode(kind, &whole[2..])?);
                    octets = &octets[length..];
                }
            }
        }
        Ok(options)
    }

    fn decode(kind: u8, contents: &[u8]) -> Result<TcpOption, String> {
        let word = |at: usize| u32::from_be_bytes([contents[at], contents[at + 1], contents[at + 2], contents[at + 3]]);
        Ok(match (kind, contents.len()) {
            (2, 2) => TcpOption::Mss(u16::from_be_bytes([contents[0], contents[1]])),
            (3, 1) => TcpOption::WindowScale(contents[0]),
            (4, 0) => TcpOption::SackPermitted,
            (5, 8 | 16 | 24 | 32) => {
                TcpOption::Sack((0..contents.len()).step_by(8).map(|at| (word(at), word(at + 4))).collect())
            }
            (8, 8) => TcpOption::Timestamps { value: word(0), echo: word(4) },
            (kind, length) => return Err(format!("option {kind} with {length} octets")),
        })
    }
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TcpOption::Mss(mss) => write!(f, "mss {mss}"),
            TcpOption::WindowScale(shift) => write!(f, "wscale {shift}"),
            TcpOption::SackPermitted => write!(f, "sackOK"),
            TcpOption::Sack(blocks) => {
                write!(f, "sack")?;
                blocks.iter().try_for_each(|(left, right)| write!(f, " {left}:{right}"))
            }
            TcpOption::Timestamps { value, echo } => write!(f, "TS val {value} ecr {echo}"),
            TcpOption::Raw(octets) => {
                write!(f, "raw ")?;
                octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }
    }
}
