//! `afpa explain`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::units::Malformed;

pub(super) const EXAMPLES: &str = "\
Says which site and which route take a request, and why; what a backend is asked for; under which key
a response is kept; and to which class the request belongs. Nothing is sent, no server needs to run.
Exit status: 0 if a route takes the request, else 1.

Examples:
  afpa explain --config /etc/afpa.toml GET http://www.example.com/api/users?id=7
  afpa explain --config /etc/afpa.toml GET http://www.example.com/ -H 'Cookie: beta=1' --client 192.0.2.7";

/// `afpa explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The method of the request
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// What is asked for: http://HOST/PATH?QUERY; for CONNECT, HOST:PORT
    #[arg(value_name = "URL")]
    pub url: String,
    /// A header field; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<Header>,
    /// Who asks: an address
    #[arg(long, value_name = "ADDR")]
    pub client: Option<IpAddr>,
}

/// A header field: `Accept: text/html`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value, without blanks around it.
    pub value: String,
}

impl FromStr for Header {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Header, Malformed> {
        let malformed = || Malformed::new("a header field such as 'Accept: text/html'", text);
        let (name, value) = text.split_once(':').ok_or_else(malformed)?;
        let is_name = |octet: u8| octet.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&octet);
        if name.is_empty() || !name.bytes().all(is_name) || value.contains(char::is_control) {
            return Err(malformed());
        }
        Ok(Header { name: name.to_owned(), value: value.trim().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::args::{Arguments, Command};

    #[test]
    fn a_request_is_written_as_other_tools_want_it() {
        let arguments = ["afpa", "explain", "--config", "a.toml", "GET", "http://a/", "-H", "X-A: b: c ", "-H", "d:"];
        let arguments = arguments.iter().chain(&["--client", "::1"]);
        let Command::Explain(explain) = Arguments::try_parse_from(arguments).unwrap().command else { panic!() };
        let headers: Vec<_> = explain.headers.iter().map(|Header { name, value }| (&name[..], &value[..])).collect();
        assert_eq!(headers, [("X-A", "b: c"), ("d", "")]);
        assert_eq!((&explain.method[..], &explain.url[..], explain.client), ("GET", "http://a/", "::1".parse().ok()));
        for text in ["", "a", ": b", "a b: c", "a: b\r\nc: d"] {
            assert!(text.parse::<Header>().is_err(), "{text}");
        }
    }
}
