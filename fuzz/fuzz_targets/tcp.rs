//! Peers, calls and time, as a program.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_tcp::fuzz::tcp(data));
