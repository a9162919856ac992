//! `afpa offload`.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::units::Malformed;

pub(super) const EXAMPLES: &str = "\
The program is not changed: a library that it is started with takes its sockets to the TCP server.
Without --ports and --addresses that is all of its TCP. A program that is linked statically, or that
changes its user when it starts (setuid), keeps the kernel's.

Examples:
  afpa offload -- redis-server --port 6379
  afpa offload --ports 80,8000-8099 -- nginx -g 'daemon off;'
  afpa offload --addresses 10.0.0.0/8,fd00::/8 -- curl http://10.1.2.3/";

/// `afpa offload`.
#[derive(Debug, Args)]
pub struct Offload {
    /// Where the TCP server has applications attach
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Only these ports, of either end: 80,8000-8099
    #[arg(long, value_name = "LIST")]
    pub ports: Option<Ports>,
    /// Only these addresses and networks, of either end: 10.0.0.0/8,::1
    #[arg(long, value_name = "LIST")]
    pub addresses: Option<Addresses>,
    /// The program and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    pub program: Vec<OsString>,
}

/// Ports: `80,8000-8099`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

/// Addresses with the lengths of their prefixes: `10.0.0.0/8,::1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(Vec<(IpAddr, u8)>);

impl FromStr for Ports {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Ports, Malformed> {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = first.parse().ok()?..=last.parse().ok()?;
            (!range.is_empty()).then_some(range)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.map(Ports).ok_or_else(|| Malformed::new("ports such as 80 or 80,8000-8099", text))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        });
        f.write_str(&shown.collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Addresses {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Addresses, Malformed> {
        let network = |part: &str| {
            let (address, length) =
                part.split_once('/').map_or((part, None), |(address, length)| (address, Some(length)));
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let length = length.map_or(Some(most), |length| length.parse().ok())?;
            (length <= most).then_some((address, length))
        };
        let networks: Option<Vec<_>> = text.split(',').map(network).collect();
        networks.map(Addresses).ok_or_else(|| Malformed::new("addresses such as 10.0.0.0/8,::1", text))
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(address, length)| format!("{address}/{length}"));
        f.write_str(&shown.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_addresses_are_shown_as_they_are_passed_on() {
        for (text, shown) in [("80", "80"), ("80,8000-8099", "80,8000-8099"), ("5-5", "5")] {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), shown);
        }
        for text in ["", "80-", "90-80", "65536", "http"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
        let networks: Addresses = "10.0.0.0/8,::1".parse().unwrap();
        assert_eq!(networks.to_string(), "10.0.0.0/8,::1/128");
        for text in ["", "10.0.0.0/33", "localhost", "10.0.0.0/8,"] {
            assert!(text.parse::<Addresses>().is_err(), "{text}");
        }
    }
}
