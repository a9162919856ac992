//! Headers of the PROXY protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_wire::fuzz::proxy_header(data));
