//! What may arrive for a question to a backend.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_dns::upstream::fuzz::answer(data));
