//! Content types by a file's name, and what can be told from them.

/// The type of what is in a file whose path is `path`, without parameters. By the name's extension,
/// in any case; octets of no known kind if that says nothing.
pub fn of_path(path: &[u8]) -> &'static str {
    let name = path.rsplit(|&octet| octet == b'/').next().unwrap_or_default();
    let extension = match name.iter().rposition(|&octet| octet == b'.') {
        // The dot of a hidden file starts its name.
        None | Some(0) => return UNKNOWN,
        Some(dot) => &name[dot + 1..],
    };
    let Ok(extension) = std::str::from_utf8(extension) else { return UNKNOWN };
    let known = |(other, _): &&(&str, &str)| extension.eq_ignore_ascii_case(other);
    match OVERRIDES.iter().find(known) {
        Some((_, content_type)) => content_type,
        None => mime_guess::from_ext(extension).first_raw().unwrap_or(UNKNOWN),
    }
}

/// Whether it is text whose charset has to be said.
pub fn is_text(content_type: &str) -> bool {
    let content_type = essence(content_type);
    // RFC 8259 §11: JSON has no charset parameter; XML and SVG say it within.
    starts_with(content_type, "text/") || content_type.eq_ignore_ascii_case("application/javascript")
}

/// Whether a content coding is likely to make it shorter.
pub fn compressible(content_type: &str) -> bool {
    let content_type = essence(content_type);
    let equals = |other: &&str| content_type.eq_ignore_ascii_case(other);
    let ends_with = |suffix: &&str| {
        let start = content_type.len().checked_sub(suffix.len());
        start.and_then(|start| content_type.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    starts_with(content_type, "text/") || COMPRESSIBLE.iter().any(equals) || ["+json", "+xml"].iter().any(ends_with)
}

const UNKNOWN: &str = "application/octet-stream";

/// Where today's web means another thing than the registry of old.
const OVERRIDES: &[(&str, &str)] = &[
    ("map", "application/json"),
    // RFC 9239 §3.
    ("mjs", "text/javascript"),
    ("ts", "video/mp2t"),
    ("webmanifest", "application/manifest+json"),
];

/// What neither starts with `text/` nor ends in `+json` or `+xml`.
const COMPRESSIBLE: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/pdf",
    "application/rtf",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-sh",
    "application/x-tar",
    "application/xml",
    "application/xml-dtd",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
];

/// The type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_type() {
        let rows: &[(&[u8], &str, bool, bool)] = &[
            (b"index.html", "text/html", true, true),
            (b"/a.b/INDEX.HTML", "text/html", true, true),
            (b"a.css", "text/css", true, true),
            (b"a.js", "text/javascript", true, true),
            (b"a.mjs", "text/javascript", true, true),
            (b"a.txt", "text/plain", true, true),
            (b"a.md", "text/markdown", true, true),
            (b"a.json", "application/json", false, true),
            (b"a.webmanifest", "application/manifest+json", false, true),
            (b"a.svg", "image/svg+xml", false, true),
            (b"a.wasm", "application/wasm", false, true),
            (b"a.js.map", "application/json", false, true),
            (b"a.xhtml", "application/xhtml+xml", false, true),
            (b"a.ico", "image/x-icon", false, true),
            (b"a.ttf", "font/ttf", false, true),
            (b"a.pdf", "application/pdf", false, true),
            (b"a.png", "image/png", false, false),
            (b"a.jpg", "image/jpeg", false, false),
            (b"a.webp", "image/webp", false, false),
            (b"a.avif", "image/avif", false, false),
            (b"a.woff2", "font/woff2", false, false),
            (b"a.mp4", "video/mp4", false, false),
            (b"a.ts", "video/mp2t", false, false),
            (b"a.tar.gz", "application/gzip", false, false),
            (b"a.zip", "application/zip", false, false),
            (b"a", "application/octet-stream", false, false),
            (b"a.", "application/octet-stream", false, false),
            (b".html", "application/octet-stream", false, false),
            (b"a.html/b", "application/octet-stream", false, false),
            (b"a.\xff", "application/octet-stream", false, false),
            (b"", "application/octet-stream", false, false),
        ];
        for &(path, content_type, text, compresses) in rows {
            assert_eq!(of_path(path), content_type, "{}", path.escape_ascii());
            assert_eq!((is_text(content_type), compressible(content_type)), (text, compresses), "{content_type}");
        }
        assert!(is_text("Text/HTML; charset=utf-8") && compressible("application/JSON ;x=y"));
    }
}
