//! Request heads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_http::syntax::fuzz::request(data));
