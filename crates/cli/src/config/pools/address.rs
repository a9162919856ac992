//! Where a backend is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use afpa_routing::HostPattern;

use crate::units::{ListenAddress, Malformed, parse_port};

/// Where a backend is: `127.0.0.1:3000`, `[::1]:3000`, `app.internal:3000`, `unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackendAddress {
    /// There.
    Inet(SocketAddr),
    /// At the addresses of a name, which is resolved again and again.
    Name {
        /// The name, in lower case.
        host: String,
        /// The port.
        port: u16,
    },
    /// At a Unix stream socket.
    Unix(PathBuf),
}

impl FromStr for BackendAddress {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<BackendAddress, Malformed> {
        let malformed =
            || Malformed::new("an address such as 127.0.0.1:3000, app.internal:3000 or unix:/run/app.sock", text);
        if text.starts_with("unix:") {
            return match text.parse() {
                Ok(ListenAddress::Unix(path)) => Ok(BackendAddress::Unix(path)),
                Ok(ListenAddress::Inet(_)) => Err(malformed()),
                Err(Malformed { hint: Some(hint), .. }) => Err(malformed().hint(hint)),
                Err(_) => Err(malformed()),
            };
        }
        if text.contains("://") {
            return Err(malformed().hint("write no http:// before it"));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(malformed()) } else { Ok(BackendAddress::Inet(address)) };
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(malformed().hint("a port is missing"));
        };
        let port = parse_port(port).filter(|port| *port != 0).ok_or_else(malformed)?;
        match host.parse() {
            // Digits and dots alone are an address that went wrong.
            Ok(HostPattern::Exact(host))
                if host.bytes().any(|octet| octet.is_ascii_alphabetic()) && !host.starts_with('[') =>
            {
                Ok(BackendAddress::Name { host, port })
            }
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendAddress::Inet(address) => write!(f, "{address}"),
            BackendAddress::Name { host, port } => write!(f, "{host}:{port}"),
            BackendAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_names_and_unix_sockets() {
        for text in ["127.0.0.1:3000", "[::1]:80", "app.internal:3000", "localhost:80", "unix:/run/app.sock"] {
            assert_eq!(text.parse::<BackendAddress>().unwrap().to_string(), text);
        }
        for text in
            ["", "a", ":80", "127.0.0.1", "127.0.0:80", "a:0", "a:b", "127.0.0.1:0", "::1", "unix:a", "a b:80", "*:80"]
        {
            assert!(text.parse::<BackendAddress>().is_err(), "{text}");
        }
        let hint = |text: &str| text.parse::<BackendAddress>().unwrap_err().hint.unwrap();
        assert_eq!(hint("http://a:80"), "write no http:// before it");
        assert_eq!(hint("unix:app.sock"), "the path of a Unix socket starts with /");
    }
}
