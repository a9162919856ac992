//! Bodies of all framings.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_http::syntax::fuzz::body(data));
