//! Messages over TCP: each behind its length (RFC 1035 §4.2.2).

/// Writes `message` behind its length; `None`, and nothing is written, if it is longer than 65,535 octets.
pub fn write_frame(message: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let length = u16::try_from(message.len()).ok()?;
    // RFC 7766 §8: length and message leave together.
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(message);
    Some(())
}
