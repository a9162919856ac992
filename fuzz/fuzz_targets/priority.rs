//! The lines of a `Priority` field.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_classes::fuzz::priority(data));
