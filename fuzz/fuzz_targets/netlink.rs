//! Messages of rtnetlink.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_platform::netlink::fuzz::messages(data));
