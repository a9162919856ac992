//! Master files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_dns::zone::fuzz_zone(data));
