//! Configuration files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_cli::fuzz::config(data));
