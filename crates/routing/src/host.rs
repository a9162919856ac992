//! Hosts that a site is asked under.

use std::fmt;
use std::str::FromStr;

/// A host, some hosts, or any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This one, in lower case: a name without a final dot, or an address; IPv6 in brackets.
    Exact(String),
    /// Every name below this one, at any depth: `*.example.com`, without the `*.`.
    Below(String),
    /// Those that no other site has: `*`.
    Any,
}

/// The longest host (RFC 1035 §2.3.4). A longer one is no name that a site has.
pub(crate) const LONGEST: usize = 255;

impl HostPattern {
    /// Whether a host, in lower case and without a port, is one of these.
    pub fn matches(&self, host: &[u8]) -> bool {
        let host = without_final_dot(host);
        match self {
            HostPattern::Exact(own) => own.as_bytes() == host,
            HostPattern::Below(above) => host
                .strip_suffix(above.as_bytes())
                .and_then(|below| below.strip_suffix(b"."))
                .is_some_and(|below| !below.is_empty() && host.len() <= LONGEST),
            HostPattern::Any => true,
        }
    }
}

/// `example.com.` is `example.com` (RFC 3986 §3.2.2).
pub(crate) fn without_final_dot(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<HostPattern, HostError> {
        let lower = text.to_ascii_lowercase();
        if lower == "*" {
            return Ok(HostPattern::Any);
        }
        if let Some(address) = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: std::net::Ipv6Addr = address.parse().map_err(|_| HostError("it is no IPv6 address"))?;
            return Ok(HostPattern::Exact(format!("[{address}]")));
        }
        let (below, name) = match lower.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, lower.as_str()),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.contains(':') {
            return Err(HostError("a port does not belong to it, and an IPv6 address stands in brackets"));
        }
        if name.contains('*') {
            return Err(HostError("a * stands only for whole labels at the start, as in *.example.com"));
        }
        if !name.is_ascii() {
            return Err(HostError("write an international name in its ASCII form, xn--..."));
        }
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
        };
        if name.len() > LONGEST || !name.split('.').all(is_label) {
            return Err(HostError("a name is letters, digits and hyphens between single dots"));
        }
        Ok(if below { HostPattern::Below(name.to_owned()) } else { HostPattern::Exact(name.to_owned()) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host),
            HostPattern::Below(above) => write!(f, "*.{above}"),
            HostPattern::Any => f.write_str("*"),
        }
    }
}

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostError(&'static str);

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for HostError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_or_a_star() {
        for (text, shown, matches, others) in [
            (
                "Example.com",
                "example.com",
                &["example.com", "example.com."][..],
                &["a.example.com", "", "xample.com"][..],
            ),
            (
                "*.Example.com.",
                "*.example.com",
                &["a.example.com", "a.b.example.com"],
                &["example.com", ".example.com"],
            ),
            ("*", "*", &["", "a"], &[]),
            ("127.0.0.1", "127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]),
            ("[::0:1]", "[::1]", &["[::1]"], &["::1"]),
        ] {
            let pattern: HostPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), shown);
            for host in matches {
                assert!(pattern.matches(host.as_bytes()), "{text} {host}");
            }
            for host in others {
                assert!(!pattern.matches(host.as_bytes()), "{text} {host}");
            }
        }
        for text in ["", "a..b", ".a", "a:80", "::1", "a*.b", "a.*", "*.", "a/b", "a b", "bücher.example", "[x]"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }
}
