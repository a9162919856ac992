//! The kernel's routes and neighbours, and the ways that they lead.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_direct::fuzz::neighbours(data));
