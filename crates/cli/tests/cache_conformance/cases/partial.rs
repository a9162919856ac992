//! Ranges, of what is stored whole or in part (RFC 9111 §3.3, §3.4).

use crate::case::{Case, Exchange, cached, get, optimal, prepare, required};

pub(crate) fn cases() -> Vec<Case> {
    let whole = [
        ("", "01234567890", "bytes=0-1", "01"),
        ("-no-last", "01234567890", "bytes=1-", "1234567890"),
        ("-suffix", "0123456789A", "bytes=-1", "A"),
    ];
    // The origin's Content-Range claims an octet more than there is.
    let part = [
        ("", "bytes=-5", "01234"),
        ("-byterange", "bytes=6-8", "234"),
        ("-absent", "bytes=6-", "234"),
        ("-suffix", "bytes=-1", "4"),
    ];
    let whole = whole.map(|(name, body, range, text)| {
        let first = prepare().answers("Cache-Control", "max-age=3600").body(body);
        optimal(format!("partial-store-complete-reuse-partial{name}"), [first, ranged(range, text)])
    });
    let part = part.map(|(name, range, text)| {
        let first = partly("bytes 4-9/10");
        let first = if name.is_empty() { first.forwards("Range", "bytes=-5") } else { first };
        optimal(format!("partial-store-partial-reuse-partial{name}"), [first, ranged(range, text)])
    });
    let rest = [partly("bytes 0-4/10"), get().forwards("Range", "bytes=5-")];
    let rest = optimal("partial-store-partial-complete", rest);
    let all = whole.into_iter().chain(part).chain([rest]).map(|case| case.needs("freshness-max-age"));
    all.chain(fields()).collect()
}

/// A part of a stored response.
fn ranged(range: &'static str, text: &'static str) -> Exchange {
    cached().asks("Range", range).expects_status(206).expects_text(text)
}

/// A part of something, to be stored.
fn partly(range: &'static str) -> Exchange {
    let first = prepare().asks("Range", "bytes=-5").status(206, "Partial Content").body("01234");
    first.answers("Cache-Control", "max-age=3600").answers("Content-Range", range)
}

/// The fields of a part are those of the stored response.
fn fields() -> [Case; 2] {
    let first = || prepare().answers("Cache-Control", "max-age=3600").answers("A", "1").body("01234567890");
    let part = || ranged("bytes=0-1", "01");
    let cases = [
        required("partial-use-headers", [first(), part().answers("A", "2")]),
        required("partial-use-stored-headers", [first(), part().expects("A", "1")]),
    ];
    cases.map(|case| case.needs("partial-store-complete-reuse-partial"))
}
