//! Packets of a TCP server's control socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_channel::fuzz::packet(data));
