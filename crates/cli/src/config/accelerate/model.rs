//! The model and its defaults.

use std::fmt;
use std::str::FromStr;

use afpa_wire::network::Network;

use crate::config::words::words;
use crate::units::{Size, Span};

/// What holds for all that comes from backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accelerate {
    /// What we call ourselves in Via and Cache-Status (RFC 9110 §7.6.3, RFC 9211): a token.
    pub name: String,
    /// How responses are kept where a route says nothing else.
    pub policy: Policy,
    /// Other ways, for routes that name them. What they do not say is as in `policy`.
    pub policies: Vec<Policy>,
    /// How long a backend may take.
    pub timeouts: Timeouts,
    /// How long a response's head may be.
    pub response: ResponseLimits,
    /// Networks of which it is believed for whom they ask: their X-Forwarded-For or Forwarded.
    pub trusted: Vec<Network>,
    /// In which field a backend is told who asks.
    pub forwarded: Forwarded,
    /// Networks that send a PROXY protocol header on each connection. From these it is expected, from others an error.
    pub proxy_protocol: Vec<Network>,
    /// What a purge must show to be obeyed; if absent, each is that reaches the admin server.
    pub purge_token: Option<Token>,
}

impl Default for Accelerate {
    fn default() -> Accelerate {
        Accelerate {
            name: "afpa".into(),
            policy: Policy::default(),
            policies: Vec::new(),
            timeouts: Timeouts::default(),
            response: ResponseLimits::default(),
            trusted: Vec::new(),
            forwarded: Forwarded::XForwardedFor,
            proxy_protocol: Vec::new(),
            purge_token: None,
        }
    }
}

impl Accelerate {
    /// All policies. Routes know them by these numbers: 0 is that of routes that name none.
    pub fn numbered_policies(&self) -> impl Iterator<Item = &Policy> {
        std::iter::once(&self.policy).chain(&self.policies)
    }
}

/// What lets in who knows it. It is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The shortest, in octets: what strangers do not guess.
    pub const SHORTEST: usize = 16;

    /// Whether `shown` is it. Takes as long for a wrong one as for another wrong one of its length, so that it cannot be
    /// found octet by octet.
    pub fn is(&self, shown: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differences = own.iter().zip(shown).fold(0, |all, (own, shown)| all | (own ^ shown));
        own.len() == shown.len() && std::hint::black_box(differences) == 0
    }
}

impl FromStr for Token {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Token, &'static str> {
        let is_visible = text.bytes().all(|octet| matches!(octet, b'!'..=b'~'));
        if text.len() < Token::SHORTEST || !is_visible {
            return Err("expected at least 16 visible ASCII characters, which nobody guesses, found others or fewer");
        }
        Ok(Token(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// How responses are kept (RFC 9111).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name; empty for that of routes that name none.
    pub name: String,
    /// Whether any are.
    pub cache: bool,
    /// A response that says only when it was last modified is fresh for so many percent of its age (RFC 9111 §4.2.2).
    pub heuristic_percent: u32,
    /// But for no longer than this.
    pub heuristic_most: Span,
    /// How long a response is fresh that says nothing; zero: it is not kept.
    pub default_lifetime: Span,
    /// How long an error without a lifetime of its own is fresh, by its status. Other errors are not kept.
    pub negative: Vec<(u16, Span)>,
    /// How long after its end a response is sent while it is asked for again (RFC 5861 §3), if it says nothing.
    pub stale_while_revalidate: Span,
    /// How long after its end a response is sent where a backend fails (RFC 5861 §4), if it says nothing.
    pub stale_if_error: Span,
    /// Whether requests for the same wait for one answer.
    pub collapse: bool,
    /// Whether text is compressed when it enters the cache.
    pub compress: bool,
    /// The largest response that is kept.
    pub max_object: Size,
    /// Methods whose responses are kept: GET, HEAD.
    pub methods: Vec<String>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            name: String::new(),
            cache: true,
            heuristic_percent: 10,
            heuristic_most: Span::seconds(86_400),
            default_lifetime: Span::seconds(0),
            negative: Vec::new(),
            stale_while_revalidate: Span::seconds(0),
            stale_if_error: Span::seconds(60),
            collapse: true,
            compress: true,
            max_object: Size::mib(16),
            methods: vec!["GET".into(), "HEAD".into()],
        }
    }
}

/// How long a backend may take. Zero: as long as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To accept a connection.
    pub connect: Span,
    /// From the end of the request to the first octet of the response.
    pub first_byte: Span,
    /// Between two pieces of it.
    pub between_bytes: Span,
    /// From the request's head to the end of the response, with all tries.
    pub total: Span,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Span::seconds(5),
            first_byte: Span::seconds(60),
            between_bytes: Span::seconds(60),
            total: Span::seconds(0),
        }
    }
}

/// How long a backend's response head may be: 502 beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimits {
    /// In octets.
    pub head: Size,
    /// In fields.
    pub fields: u32,
}

impl Default for ResponseLimits {
    fn default() -> ResponseLimits {
        ResponseLimits { head: Size::kib(64), fields: 200 }
    }
}

words! {
    /// In which field a backend is told who asks.
    Forwarded: "x-forwarded-for, forwarded, both or off" {
        /// X-Forwarded-For, -Proto and -Host.
        XForwardedFor = "x-forwarded-for",
        /// Forwarded (RFC 7239).
        Forwarded = "forwarded",
        /// In both.
        Both = "both",
        /// In none.
        Off = "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_and_not_shown() {
        let token: Token = "0123456789abcdef".parse().unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in [&b"0123456789abcdeF"[..], b"0123456789abcde", b"0123456789abcdef0", b""] {
            assert!(!token.is(other));
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
        for text in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdéf"] {
            assert!(text.parse::<Token>().is_err());
        }
    }
}
