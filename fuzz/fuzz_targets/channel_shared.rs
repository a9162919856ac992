//! What the other side of a socket channel writes into the memory that both share.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_channel::fuzz::shared(data));
