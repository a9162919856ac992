//! Who may ask. A browser on the operator's machine can be made to send requests to the admin
//! server by any web page: directly (cross-origin) or through a name that the page's owner points
//! at the loopback address (DNS rebinding). Both are refused.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, StatusCode, header};

/// Why a request is refused: the status, and a sentence.
pub(super) type Refusal = (StatusCode, &'static str);

/// Checks the fields that a browser sets and a page cannot forge.
///
/// # Errors
/// 421 if Host is a name other than `localhost`; 403 if another site's page asks; 415 if a POST is
/// not JSON.
pub(super) fn check(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = only(headers, header::HOST).ok_or((StatusCode::BAD_REQUEST, "exactly one Host field is needed"))?;
    // Rebinding needs a name: who connects by an IP address is where he says he is.
    if !is_address(host) {
        return Err((StatusCode::MISDIRECTED_REQUEST, "the Host field must be an IP address or localhost"));
    }
    if method != Method::POST {
        return Ok(());
    }
    if headers.contains_key(header::ORIGIN) {
        let same = only(headers, header::ORIGIN).and_then(|origin| origin.strip_prefix("http://")) == Some(host);
        if !same {
            return Err((StatusCode::FORBIDDEN, "requests from other origins are refused"));
        }
    }
    if let Some(site) = headers.get("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return Err((StatusCode::FORBIDDEN, "requests from other sites are refused"));
    }
    // A page can send other types without asking first; JSON needs a preflight, which we do not answer.
    let json = only(headers, header::CONTENT_TYPE).is_some_and(|value| {
        value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
    });
    if json { Ok(()) } else { Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "the Content-Type must be application/json")) }
}

fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// `localhost` or an IP address, with or without a port.
fn is_address(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((ip, port)) if port.is_empty() || is_port(port) => {
                return ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
            }
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, fields: &[(&'static str, &'static str)]) -> Option<u16> {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        check(&method, &headers).err().map(|(status, _)| status.as_u16())
    }

    #[test]
    fn only_addresses_are_hosts() {
        for host in ["127.0.0.1", "127.0.0.1:9090", "localhost", "LOCALHOST:1", "[::1]:9090", "[::1]", "192.0.2.1:80"] {
            assert!(is_address(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.nip.io:80",
            "[::1",
            "[::1]x",
            "::1",
            "[127.0.0.1]",
            "localhost:x",
        ] {
            assert!(!is_address(host), "{host}");
        }
    }

    #[test]
    fn each_way_in_for_a_foreign_page_is_closed() {
        let json = ("content-type", "application/json; charset=utf-8");
        let host = ("host", "127.0.0.1:9090");
        type Case<'a> = (Method, &'a [(&'static str, &'static str)], Option<u16>);
        let cases: [Case<'_>; 12] = [
            (Method::GET, &[host], None),
            (Method::GET, &[], Some(400)),
            (Method::GET, &[host, host], Some(400)),
            (Method::GET, &[("host", "evil.example:9090")], Some(421)),
            (Method::POST, &[host, json], None),
            (Method::POST, &[host, json, ("origin", "http://127.0.0.1:9090")], None),
            (Method::POST, &[host, json, ("sec-fetch-site", "none")], None),
            (Method::POST, &[host, json, ("origin", "https://evil.example")], Some(403)),
            (Method::POST, &[host, json, ("origin", "null")], Some(403)),
            (Method::POST, &[host, json, ("sec-fetch-site", "cross-site")], Some(403)),
            (Method::POST, &[host, ("content-type", "text/plain")], Some(415)),
            (Method::POST, &[host], Some(415)),
        ];
        for (method, fields, expected) in cases {
            assert_eq!(status(method.clone(), fields), expected, "{method} {fields:?}");
        }
    }
}
