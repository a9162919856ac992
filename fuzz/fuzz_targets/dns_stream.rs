//! What may arrive from a backend on a stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_dns::upstream::fuzz::stream(data));
