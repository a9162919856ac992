//! Range fields; the first octet is the representation's length.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_http::syntax::fuzz::range(data));
