//! DNS messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_dns::fuzz::message(data));
