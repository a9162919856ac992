//! Addresses at which DNS is spoken, over UDP and TCP alike.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::units::{Malformed, parse_port};

/// An IP address and a port: `127.0.0.1:53`, `[::1]:53`, `:53` (every IPv4 address).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Address, Malformed> {
        let malformed = || Malformed::new("an IP address and a port such as 127.0.0.1:53 or [::1]:53", text);
        if let Ok(address) = text.parse() {
            return Ok(Address(address));
        }
        if let Some(port) = text.strip_prefix(':').and_then(parse_port) {
            return Ok(Address((Ipv4Addr::UNSPECIFIED, port).into()));
        }
        Err(match (text.parse::<IpAddr>(), text.rsplit_once(':')) {
            (Ok(IpAddr::V4(ip)), _) => malformed().hint(format!("a port is missing; write {ip}:53")),
            (Ok(IpAddr::V6(ip)), _) => malformed().hint(format!("a port is missing; write [{ip}]:53")),
            (_, Some(("localhost", port))) => {
                malformed().hint(format!("names are not resolved; write 127.0.0.1:{port}"))
            }
            _ => malformed(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, written) in [("127.0.0.1:53", "127.0.0.1:53"), ("[::1]:5353", "[::1]:5353"), (":53", "0.0.0.0:53")] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), written);
        }
        for (text, hint) in [
            ("9.9.9.9", Some("a port is missing; write 9.9.9.9:53")),
            ("::1", Some("a port is missing; write [::1]:53")),
            ("localhost:53", Some("names are not resolved; write 127.0.0.1:53")),
            ("unix:/run/dns", None),
            ("53", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err().hint.as_deref(), hint, "{text}");
        }
        assert_eq!(
            "dns.example:53".parse::<Address>().unwrap_err().to_string(),
            "expected an IP address and a port such as 127.0.0.1:53 or [::1]:53, found \"dns.example:53\""
        );
    }
}
