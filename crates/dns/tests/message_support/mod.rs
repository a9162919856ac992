//! Messages for tests.

use std::fs;
use std::path::Path;

/// How many mutated messages a test tries: `usual`, unless the environment has another number (`AFPA_MUTATIONS=5000000`).
pub(crate) fn mutations(usual: usize) -> usize {
    std::env::var("AFPA_MUTATIONS").map_or(usual, |count| count.parse().expect("a number"))
}

/// Messages, good and bad.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/dns_message");
    let mut files: Vec<_> =
        fs::read_dir(corpus).expect("the corpus").map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).expect("a seed")).collect()
}

/// One of `seeds`, changed in up to four places.
pub(crate) fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut message = random.choice(seeds).clone();
    for _ in 0..=random.below(4) {
        mutate(&mut message, seeds, random);
    }
    message
}

fn mutate(message: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(message.len() + 1);
    match random.below(6) {
        0 => message.truncate(at),
        1 => message.insert(at, random.octet()),
        2 => message.extend_from_slice(random.choice::<Vec<u8>>(seeds)),
        3 if at + 1 < message.len() => message[at..at + 2].copy_from_slice(&[0xc0, random.octet()]),
        4 if at < message.len() => message[at] = message[at].wrapping_add(1),
        _ if at < message.len() => message[at] = random.octet(),
        _ => {}
    }
}

/// The same numbers in each run (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        for shift in [13, -7, 17] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }

    fn octet(&mut self) -> u8 {
        // What lengths and counts are made of, more often than chance would have it.
        let small = (self.next() >> 32) as u8;
        if self.next() >> 63 == 0 { small & 0x3f } else { small }
    }

    fn choice<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
