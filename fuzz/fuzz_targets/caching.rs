//! What a request, the response to it and a 304 may say to a cache.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    afpa_caching::fuzz::exchange(data);
    afpa_caching::fuzz::date(data);
});
