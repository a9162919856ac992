//! Responses of backends to checks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_cli::fuzz::check_response(data));
