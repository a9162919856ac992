//! How sizes, durations and addresses are written, on the command line and in the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A value that is not written as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What would have been right.
    pub expected: &'static str,
    /// What was written instead, cut at 80 characters.
    pub found: String,
    /// What the writer probably meant, if that can be told.
    pub hint: Option<String>,
}

impl Malformed {
    /// `found` where `expected` should have been.
    pub fn new(expected: &'static str, found: &str) -> Malformed {
        Malformed { expected, found: found.chars().take(80).collect(), hint: None }
    }

    /// With what the writer probably meant, or what helps.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Malformed {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {:?}", self.expected, self.found)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Malformed {}

/// A number of octets: `4096`, `64KiB`, `1GiB`, or in powers of ten `64kB`, `1GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

impl Size {
    /// `n` times 1024 octets.
    pub const fn kib(n: u64) -> Size {
        Size(n << 10)
    }

    /// `n` times 1024² octets.
    pub const fn mib(n: u64) -> Size {
        Size(n << 20)
    }
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Size, Malformed> {
        let malformed = || Malformed::new("a size such as 4096, 64KiB, 256MiB or 1GiB", text);
        let (number, unit) = split_number(text).ok_or_else(malformed)?;
        if unit.is_empty() {
            return Ok(Size(number));
        }
        let Some(&(_, factor)) = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
            return Err(match unit {
                "k" | "K" | "m" | "M" | "g" | "G" | "t" | "T" => {
                    malformed().hint(format!("write {number}{}iB", unit.to_ascii_uppercase()))
                }
                _ => malformed(),
            });
        };
        let octets = number.checked_mul(factor).ok_or_else(|| malformed().hint("it is larger than 2^64 octets"))?;
        Ok(Size(octets))
    }
}

impl fmt::Display for Size {
    /// The largest binary unit that divides it: `256 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = &SIZE_UNITS[..4];
        match binary.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A length of time: `500ms`, `5s`, `2m`, `1h`, `1d`. Zero is `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

impl Span {
    /// `n` seconds.
    pub const fn seconds(n: u64) -> Span {
        Span(Duration::from_secs(n))
    }

    /// `n` milliseconds.
    pub const fn milliseconds(n: u64) -> Span {
        Span(Duration::from_millis(n))
    }
}

const SPAN_UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

impl FromStr for Span {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Span, Malformed> {
        let malformed = || Malformed::new("a duration such as 500ms, 5s, 2m, 1h or 1d", text);
        let (number, unit) = split_number(text).ok_or_else(malformed)?;
        if unit.is_empty() {
            return Err(malformed().hint(format!("a unit is missing; write {number}s for seconds")));
        }
        let (_, factor) = SPAN_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        let micros = number.checked_mul(*factor).ok_or_else(|| malformed().hint("it is too long"))?;
        Ok(Span(Duration::from_micros(micros)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros() as u64;
        if micros == 0 {
            return f.write_str("0s");
        }
        let whole = SPAN_UNITS.iter().find(|(_, factor)| micros.is_multiple_of(*factor));
        whole.map_or(Ok(()), |(unit, factor)| write!(f, "{}{unit}", micros / factor))
    }
}

/// Where to listen: `127.0.0.1:8080`, `[::1]:8080`, `:8080` (every IPv4 address), `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A TCP port. Port 0 lets the system choose.
    Inet(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// The longest path that `sockaddr_un` holds with its final NUL.
const UNIX_PATH_MAX: usize = 107;

impl FromStr for ListenAddress {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<ListenAddress, Malformed> {
        let malformed =
            || Malformed::new("an address such as 127.0.0.1:8080, [::1]:8080, :8080 or unix:/run/afpa.sock", text);
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                _ if !path.starts_with('/') => Err(malformed().hint("the path of a Unix socket starts with /")),
                _ if path.len() > UNIX_PATH_MAX => {
                    Err(malformed().hint(format!("the path of a Unix socket has at most {UNIX_PATH_MAX} octets")))
                }
                _ if path.contains('\0') => Err(malformed()),
                _ => Ok(ListenAddress::Unix(PathBuf::from(path))),
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(ListenAddress::Inet(address));
        }
        if let Some(port) = text.strip_prefix(':').and_then(parse_port) {
            return Ok(ListenAddress::Inet((Ipv4Addr::UNSPECIFIED, port).into()));
        }
        Err(match (text.parse::<IpAddr>(), parse_port(text), text.rsplit_once(':')) {
            (Ok(IpAddr::V4(ip)), ..) => malformed().hint(format!("a port is missing; write {ip}:8080")),
            (Ok(IpAddr::V6(ip)), ..) => malformed().hint(format!("a port is missing; write [{ip}]:8080")),
            (_, Some(port), _) => malformed().hint(format!("write :{port} for every IPv4 address")),
            (_, _, Some(("localhost", port))) => {
                malformed().hint(format!("names are not resolved; write 127.0.0.1:{port}"))
            }
            _ => malformed(),
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Inet(address) => write!(f, "{address}"),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

pub(crate) fn parse_port(text: &str) -> Option<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Splits `64MiB` into 64 and `MiB`; blanks between the two are allowed.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        let good = [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 65536),
            ("64 KiB", 65536),
            ("1gib", 1 << 30),
            ("2TiB", 2 << 40),
            ("5kB", 5000),
            ("1GB", 1_000_000_000),
            ("7B", 7),
        ];
        for (text, octets) in good {
            assert_eq!(text.parse(), Ok(Size(octets)), "{text}");
        }
        for text in
            ["", "MiB", "-1", "+1", "1.5GiB", "64Mi", "1 2", "99999999999999999999", "17000000TiB", "0x10", "64MiB "]
        {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(
            "64M".parse::<Size>().unwrap_err().to_string(),
            r#"expected a size such as 4096, 64KiB, 256MiB or 1GiB, found "64M"; write 64MiB"#
        );
    }

    #[test]
    fn spans() {
        let good = [
            ("500ms", 500_000),
            ("5s", 5_000_000),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("7d", 604_800_000_000),
            ("10us", 10),
            ("0s", 0),
        ];
        for (text, micros) in good {
            assert_eq!(text.parse(), Ok(Span(Duration::from_micros(micros))), "{text}");
        }
        for text in ["", "s", "1.5s", "-1s", "1S", "1 fortnight", "99999999999999999h"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!(
            "5".parse::<Span>().unwrap_err().to_string(),
            r#"expected a duration such as 500ms, 5s, 2m, 1h or 1d, found "5"; a unit is missing; write 5s for seconds"#
        );
    }

    #[test]
    fn addresses() {
        for (text, written) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            (":80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
            ("unix:/run/a b.sock", "unix:/run/a b.sock"),
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), written);
        }
        for (text, hint) in [
            ("8080", "write :8080 for every IPv4 address"),
            ("10.0.0.1", "a port is missing; write 10.0.0.1:8080"),
            ("::1", "a port is missing; write [::1]:8080"),
            ("localhost:80", "names are not resolved; write 127.0.0.1:80"),
            ("unix:afpa.sock", "the path of a Unix socket starts with /"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert_eq!(error.hint.as_deref(), Some(hint), "{text}");
        }
        for text in ["", ":", ":99999", ":+80", "1.2.3.4:", "unix:", "unix:/a\0b", "example.org:80"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
        assert!(format!("unix:/{}", "a".repeat(107)).parse::<ListenAddress>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_again(octets: u64, micros: u64) {
            prop_assert_eq!(Size(octets).to_string().parse(), Ok(Size(octets)));
            let span = Span(Duration::from_micros(micros));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Size>();
            let _ = text.parse::<Span>();
            let _ = text.parse::<ListenAddress>();
        }
    }
}
