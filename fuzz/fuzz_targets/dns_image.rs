//! What a backend may send, as it is kept and served.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_dns::cache::fuzz::image(data));
