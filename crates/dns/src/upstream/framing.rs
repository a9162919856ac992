//! Messages over TCP: each behind its length (RFC 1035 §4.2.2).

use crate::message::HEADER_LEN;

/// A length that no message has: the sender's fault, and nothing behind it can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameTooShort {
    /// The length that was announced, in octets.
    pub length: u16,
}

/// Writes `message` behind its length; `None`, and nothing is written, if it is longer than 65,535 octets.
pub fn write_frame(message: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let length = u16::try_from(message.len()).ok()?;
    // RFC 7766 §8: length and message leave together.
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(message);
    Some(())
}

/// Puts messages together that arrive in pieces. Holds at most one, and no more of it than has arrived.
#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    partial: Vec<u8>,
    /// `partial` was handed out and is to be forgotten.
    is_read: bool,
}

impl FrameReader {
    /// A reader at the start of a stream.
    pub fn new() -> FrameReader {
        FrameReader::default()
    }

    /// The next message of the stream, of which `input` is the part that was not shown yet; what is used of that is
    /// taken off its front. A message that lies in `input` whole is not copied. `None`: all of `input` is used, and
    /// no message is whole.
    ///
    /// # Errors
    /// The stream is no sequence of messages; close it.
    pub fn next<'r, 'i: 'r>(&'r mut self, input: &mut &'i [u8]) -> Result<Option<&'r [u8]>, FrameTooShort> {
        if std::mem::take(&mut self.is_read) {
            self.partial.clear();
        }
        if self.partial.is_empty()
            && let Some(&length) = input.first_chunk()
        {
            let end = 2 + checked(length)?;
            if let Some((frame, rest)) = input.split_at_checked(end) {
                *input = rest;
                return Ok(Some(&frame[2..]));
            }
        }
        self.take(2, input);
        let Some(&length) = self.partial.first_chunk() else { return Ok(None) };
        let end = 2 + checked(length)?;
        self.take(end, input);
        self.is_read = self.partial.len() == end;
        Ok(self.is_read.then(|| &self.partial[2..]))
    }

    /// Whether a message has begun: the stream must not end here.
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty() && !self.is_read
    }

    /// Moves octets until `end` of them are there, or there are no more.
    fn take(&mut self, end: usize, input: &mut &[u8]) {
        let missing = end.saturating_sub(self.partial.len());
        let (taken, rest) = input.split_at(missing.min(input.len()));
        self.partial.extend_from_slice(taken);
        *input = rest;
    }
}

fn checked(length: [u8; 2]) -> Result<usize, FrameTooShort> {
    let length = u16::from_be_bytes(length);
    match usize::from(length) {
        octets if octets >= HEADER_LEN => Ok(octets),
        _ => Err(FrameTooShort { length }),
    }
}

impl std::fmt::Display for FrameTooShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a message of {} octets over TCP, less than a header", self.length)
    }
}

impl std::error::Error for FrameTooShort {}
