//! The octets of a stream, from a seed.

use std::rc::Rc;

/// An endless stream of octets: each follows from the seed and its place, so that any part can be made and checked
/// on its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Octets(pub u64);

impl Octets {
    /// The octet at this place.
    pub fn at(self, place: u64) -> u8 {
        let word = mix(self.0 ^ (place >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (word >> (8 * (place & 7))) as u8
    }

    /// So many octets from this place on.
    pub fn range(self, place: u64, count: usize) -> Vec<u8> {
        (place..place + count as u64).map(|at| self.at(at)).collect()
    }

    /// The same, pinned.
    pub fn pinned(self, place: u64, count: usize) -> Rc<[u8]> {
        self.range(place, count).into()
    }

    /// Checks that these are the octets from this place on.
    ///
    /// # Panics
    /// They are not.
    pub fn check(self, place: u64, octets: &[u8]) {
        let wrong = octets.iter().enumerate().find(|(at, octet)| **octet != self.at(place + *at as u64));
        if let Some((at, octet)) = wrong {
            let expected = self.at(place + at as u64);
            panic!("octet {} of the stream is {octet:#04x}, not {expected:#04x}", place + at as u64);
        }
    }
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_stream_can_be_made_and_checked() {
        let octets = Octets(5);
        octets.check(3, &octets.range(0, 100)[3..]);
        assert_ne!(octets.range(0, 32), Octets(6).range(0, 32));
    }

    #[test]
    #[should_panic = "octet 12 of the stream"]
    fn a_wrong_octet_is_found() {
        let mut octets = Octets(5).range(10, 4);
        octets[2] ^= 1;
        Octets(5).check(10, &octets);
    }
}
