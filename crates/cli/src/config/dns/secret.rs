//! Secrets, which nothing shows.

use std::fmt;

/// 128 bits that sign DNS cookies (RFC 9018 §4.4), written as 32 hexadecimal digits. It is never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl Secret {
    /// Reads it, or says what was expected and what was found, without a digit of it.
    pub(super) fn read(text: &str) -> Result<Secret, String> {
        let digits: Vec<_> = text.chars().map_while(|c| c.to_digit(16)).collect();
        let length = text.chars().count();
        if digits.len() < length {
            return Err(format!("expected 32 hexadecimal digits, found another character at {}", digits.len() + 1));
        }
        let mut octets = [0; 16];
        if length != 2 * octets.len() {
            return Err(format!("expected 32 hexadecimal digits, found {length}"));
        }
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            // Two digits below 16.
            *octet = (pair[0] << 4 | pair[1]) as u8;
        }
        Ok(Secret(octets))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_32_digits_and_never_shown() {
        let secret = Secret::read("00112233445566778899aAbBcCdDeEfF").unwrap();
        let octets = [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        assert_eq!(secret.0, octets);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        for (text, found) in [
            ("", "found 0"),
            ("00112233445566778899aabbccddee", "found 30"),
            ("00112233445566778899aabbccddeeff00", "found 34"),
            ("00112233445566778899aabbccddeefg", "found another character at 32"),
            ("é", "found another character at 1"),
        ] {
            assert_eq!(Secret::read(text).unwrap_err(), format!("expected 32 hexadecimal digits, {found}"));
        }
    }
}
