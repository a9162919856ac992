//! Hashes that are the same on every engine, machine and start.

use std::hash::Hasher;

use siphasher::sip::{SipHasher13, SipHasher24};

/// A hash of `octets` for [`Choice::hash`](crate::Choice::hash): the same wherever it is computed. Its key is public,
/// so who chooses the octets chooses the backend; a bounded load keeps that harmless.
pub fn hash(octets: &[u8]) -> u64 {
    keyed(octets, 0)
}

pub(crate) fn keyed(octets: &[u8], key: u64) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key, 0x6166_7061);
    hasher.write(octets);
    hasher.finish()
}

/// A hash that says nothing of `parts` to who does not have the key.
pub(crate) fn secret(key: &[u8; 16], parts: [&[u8]; 2]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    for part in parts {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part);
    }
    hasher.finish()
}

/// Whether `number` is a prime.
pub fn is_prime(number: u32) -> bool {
    let number = u64::from(number);
    number >= 2 && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| number % divisor != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes() {
        for prime in [2, 3, 251, 65_537, 2_000_003, u32::MAX - 4] {
            assert!(is_prime(prime), "{prime}");
        }
        for other in [0, 1, 4, 65_536, 2_000_001, u32::MAX] {
            assert!(!is_prime(other), "{other}");
        }
    }

    #[test]
    fn a_hash_is_the_same_at_every_start() {
        assert_eq!(hash(b"/index.html"), hash(b"/index.html"));
        assert_ne!(hash(b"/index.html"), hash(b"/index.htm"));
        assert_ne!(secret(&[1; 16], [b"ab", b"c"]), secret(&[1; 16], [b"a", b"bc"]));
        assert_ne!(secret(&[1; 16], [b"a", b"b"]), secret(&[2; 16], [b"a", b"b"]));
    }
}
