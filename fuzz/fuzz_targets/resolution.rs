//! ARP and neighbour discovery.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_direct::fuzz::resolution(data));
