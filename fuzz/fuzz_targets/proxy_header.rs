//! Headers of the PROXY protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_dns::upstream::fuzz::proxy_header(data));
