//! What a change makes out of date (RFC 9111 §4.4).

use crate::message::{Request, Response, is_safe};
use crate::uri;

/// The URIs, in the form that [`uri::resolve`] gives them, whose stored responses are out of date after this exchange:
/// none if the method is safe or the response is an error; otherwise the one asked for, and those that Location and
/// Content-Location name, if they are of the same origin.
pub fn targets(request: &Request<'_>, response: &Response<'_>) -> Vec<Vec<u8>> {
    if is_safe(request.method) || !(200..400).contains(&response.status) {
        return Vec::new();
    }
    let Some(own) = uri::resolve(request.uri, request.uri) else { return Vec::new() };
    let mut targets = vec![own];
    for name in [&b"location"[..], b"content-location"] {
        let named = response.fields.first(name).and_then(|reference| uri::resolve(request.uri, reference));
        if let Some(named) = named.filter(|named| uri::is_same_origin(named, &targets[0]) && !targets.contains(named)) {
            targets.push(named);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;

    fn after(method: &str, status: u16, lines: &[(&str, &str)]) -> Vec<String> {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let request = Request { method: method.as_bytes(), uri: b"https://example.com/a/b?c", fields: Fields(&[]) };
        let response = Response { status, fields: Fields(&lines) };
        targets(&request, &response).into_iter().map(|uri| String::from_utf8(uri).unwrap()).collect()
    }

    #[test]
    fn unsafe_methods_invalidate_what_they_name() {
        let own = "https://example.com/a/b?c";
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "get"] {
            assert_eq!(after(method, 200, &[]), [own], "{method}");
            assert_eq!(after(method, 303, &[]), [own], "{method}");
            assert!(after(method, 500, &[]).is_empty() && after(method, 404, &[]).is_empty(), "{method}");
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(after(method, 200, &[]).is_empty(), "{method}");
        }
        let both = [("Location", "d"), ("Content-Location", "https://EXAMPLE.com:443/e")];
        assert_eq!(after("POST", 201, &both), [own, "https://example.com/a/d", "https://example.com/e"]);
        let others = [("Location", "http://example.com/a"), ("Content-Location", "//other.example/")];
        assert_eq!(after("POST", 201, &others), [own]);
        assert_eq!(after("PUT", 204, &[("Content-Location", "?c")]), [own]);
    }
}
