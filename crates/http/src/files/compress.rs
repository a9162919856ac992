//! Compression when a file enters the cache: once per version, so it can afford effort.

use std::io::{self, Read};

use super::coding::Coding;

/// Smaller files gain nothing: they leave in one packet anyway. Octets.
pub const MIN_COMPRESSED: u64 = 256;

/// Larger files would hold a worker too long. Octets.
pub const MAX_COMPRESSED: u64 = 1 << 20;

const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW_BITS: u32 = 20;
const ZSTD_LEVEL: i32 = 9;
const GZIP_LEVEL: u32 = 6;

/// What [`compress`] made names itself in the entity tag, so that another effort, which makes other
/// octets, gets another tag.
pub(crate) const fn tag(coding: Coding) -> &'static str {
    match coding {
        Coding::Identity => "",
        Coding::Gzip => "gzip6",
        Coding::Zstd => "zstd9",
        Coding::Brotli => "br5",
    }
}

/// Encodes `contents`; `None` if that saves less than a tenth.
pub(crate) fn compress(coding: Coding, contents: &[u8]) -> Option<Vec<u8>> {
    let worth = contents.len() - contents.len().div_ceil(10);
    let mut encoded = Vec::with_capacity(worth);
    // Readers from memory do not fail, but for zstd when it is out of memory.
    read_encoded(coding, contents, worth as u64 + 1, &mut encoded).ok()?;
    (encoded.len() <= worth).then_some(encoded)
}

/// Stops after `limit` octets: what gets that long is thrown away.
fn read_encoded(coding: Coding, contents: &[u8], limit: u64, into: &mut Vec<u8>) -> io::Result<usize> {
    match coding {
        Coding::Identity => contents.take(limit).read_to_end(into),
        Coding::Gzip => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            flate2::bufread::GzEncoder::new(contents, level).take(limit).read_to_end(into)
        }
        Coding::Zstd => zstd::stream::read::Encoder::with_buffer(contents, ZSTD_LEVEL)?.take(limit).read_to_end(into),
        Coding::Brotli => {
            const BUFFER: usize = 64 << 10;
            let encoder = brotli::CompressorReader::new(contents, BUFFER, BROTLI_QUALITY, BROTLI_WINDOW_BITS);
            encoder.take(limit).read_to_end(into)
        }
    }
}

#[cfg(test)]
pub(super) fn expand(coding: Coding, encoded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Identity => plain.extend_from_slice(encoded),
        Coding::Gzip => drop(flate2::read::GzDecoder::new(encoded).read_to_end(&mut plain).unwrap()),
        Coding::Zstd => plain = zstd::decode_all(encoded).unwrap(),
        Coding::Brotli => drop(brotli::Decompressor::new(encoded, 4096).read_to_end(&mut plain).unwrap()),
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_kept_is_smaller_and_expands_to_the_same(word in "[a-z]{1,12}", times in 30usize..2000) {
            let text = word.repeat(times);
            for coding in Coding::BY_PREFERENCE {
                if let Some(encoded) = compress(coding, text.as_bytes()) {
                    prop_assert!(encoded.len() * 10 <= text.len() * 9);
                    prop_assert_eq!(expand(coding, &encoded), text.as_bytes());
                }
            }
        }
    }

    #[test]
    fn noise_is_left_alone() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .take(10_000)
        .collect();
        for coding in Coding::BY_PREFERENCE {
            assert_eq!(compress(coding, &noise), None);
            assert!(compress(coding, &noise.repeat(4)).is_none_or(|e| expand(coding, &e) == noise.repeat(4)));
        }
    }
}
