//! The required and optimal cases that do not pass, each with the reason.

pub(crate) const KNOWN_FAILURES: &[(&str, &str)] = &[
    (
        "headers-store-Transfer-Encoding",
        "a transfer coding other than chunked cannot be undone, and what is behind it is not known: 502 (RFC 9112 section 6.1)",
    ),
    (
        "conditional-lm-fresh-no-lm",
        "a response without Last-Modified is not compared with a date: RFC 9111 section 4.3.2 allows it, and the client's date says nothing of ours",
    ),
    (
        "method-POST",
        "answers to POST are not kept for GET: few origins mean them so, and those who do not would see one client's answer given to others",
    ),
    (
        "partial-store-partial-complete",
        "parts are not kept: a range that the cache cannot cut out of a whole is asked for each time",
    ),
    ("partial-store-partial-reuse-partial", "parts are not kept"),
    ("partial-store-partial-reuse-partial-absent", "parts are not kept"),
    ("partial-store-partial-reuse-partial-byterange", "parts are not kept"),
    ("partial-store-partial-reuse-partial-suffix", "parts are not kept"),
    (
        "vary-normalise-lang-select",
        "which of several languages a client likes best is for the origin to say: answers are not chosen by Content-Language",
    ),
];
