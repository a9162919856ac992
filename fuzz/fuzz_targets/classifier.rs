//! Host, path and cookies of a request, each on a line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afpa_classes::fuzz::classifier(data));
