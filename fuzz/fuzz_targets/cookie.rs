//! Cookies that name a backend.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_balancing::fuzz::cookie(data));
