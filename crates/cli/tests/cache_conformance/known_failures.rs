//! The required and optimal cases that do not pass, each with the reason.

const SHORT_PART: &str =
    "its origin announces six octets in Content-Range and sends five: what is shorter than it says is not kept";

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
        "the missing rest is not asked for by itself: without an entity tag it could not be put together (RFC 9111 §3.4)",
    ),
    ("partial-store-partial-reuse-partial", SHORT_PART),
    ("partial-store-partial-reuse-partial-absent", SHORT_PART),
    ("partial-store-partial-reuse-partial-byterange", SHORT_PART),
    ("partial-store-partial-reuse-partial-suffix", SHORT_PART),
    (
        "vary-normalise-lang-select",
        "which of several languages a client likes best is for the origin to say: answers are not chosen by Content-Language",
    ),
];
