//! Frames and packets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_wire::fuzz::packet(data));
