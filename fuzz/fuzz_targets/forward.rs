//! Heads that are passed on.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_http::syntax::fuzz::forward(data));
