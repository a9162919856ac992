//! A cookie that keeps a client with its backend.

use crate::hash::secret;

/// How clients stay with their backend.
#[derive(Clone, PartialEq, Eq)]
pub struct StickyConfig {
    /// The cookie's name.
    pub cookie: String,
    /// The key of the hash that names backends. The same on all engines and machines, and kept, or clients move.
    pub key: [u8; 16],
    /// The cookie's Path; `/` by default.
    pub path: String,
    /// For how many seconds clients keep it; `None`, by default: until they close.
    pub max_age: Option<u32>,
    /// Whether it is sent over TLS only.
    pub secure: bool,
    /// Whether scripts do not see it; so by default.
    pub http_only: bool,
    /// With which requests from other sites it is sent; `Lax` by default.
    pub same_site: Option<SameSite>,
}

/// With which requests from other sites a cookie is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SameSite {
    /// With none.
    Strict,
    /// With such as lead the user here.
    Lax,
    /// With all. Browsers want such a cookie to be secure.
    None,
}

/// The name of a backend in a cookie: a keyed hash in 16 hexadecimal digits, which says nothing of the backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token(u64);

impl Token {
    pub(crate) fn new(config: &StickyConfig, pool: &str, backend: &str) -> Token {
        Token(secret(&config.key, [pool.as_bytes(), backend.as_bytes()]))
    }

    /// Reads a cookie's value; `None` if it is none of ours.
    pub fn read(value: &[u8]) -> Option<Token> {
        let digit = |digit: &u8| match digit {
            b'0'..=b'9' => Some(u64::from(digit - b'0')),
            b'a'..=b'f' => Some(u64::from(digit - b'a' + 10)),
            _ => None,
        };
        let digits: &[u8; 16] = value.try_into().ok()?;
        digits.iter().try_fold(0, |token, octet| Some(token << 4 | digit(octet)?)).map(Token)
    }

    /// Its 16 digits.
    pub fn digits(self) -> [u8; 16] {
        std::array::from_fn(|at| b"0123456789abcdef"[(self.0 >> (60 - 4 * at)) as usize & 0xf])
    }
}

impl StickyConfig {
    /// A cookie with everything else as by default.
    pub fn new(cookie: &str, key: [u8; 16]) -> StickyConfig {
        StickyConfig {
            cookie: cookie.to_owned(),
            key,
            path: "/".to_owned(),
            max_age: None,
            secure: false,
            http_only: true,
            same_site: Some(SameSite::Lax),
        }
    }

    /// The value of our cookie in a request's Cookie field.
    pub fn find<'a>(&self, field: &'a [u8]) -> Option<&'a [u8]> {
        // RFC 6265 §4.2.1: pairs, separated by a semicolon and a space.
        field.split(|&octet| octet == b';').find_map(|pair| {
            let value = pair.trim_ascii_start().strip_prefix(self.cookie.as_bytes())?.strip_prefix(b"=")?;
            Some(value.trim_ascii_end())
        })
    }

    /// Appends the value of a Set-Cookie field that names the backend of `token` (RFC 6265 §4.1).
    pub fn write(&self, token: Token, into: &mut Vec<u8>) {
        into.extend_from_slice(self.cookie.as_bytes());
        into.push(b'=');
        into.extend_from_slice(&token.digits());
        into.extend_from_slice(b"; Path=");
        into.extend_from_slice(self.path.as_bytes());
        if let Some(seconds) = self.max_age {
            into.extend_from_slice(format!("; Max-Age={seconds}").as_bytes());
        }
        if self.secure {
            into.extend_from_slice(b"; Secure");
        }
        if self.http_only {
            into.extend_from_slice(b"; HttpOnly");
        }
        into.extend_from_slice(match self.same_site {
            Some(SameSite::Strict) => b"; SameSite=Strict",
            Some(SameSite::Lax) => b"; SameSite=Lax",
            Some(SameSite::None) => b"; SameSite=None",
            None => b"",
        });
    }
}

/// Without the key.
impl std::fmt::Debug for StickyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let StickyConfig { cookie, key: _, path, max_age, secure, http_only, same_site } = self;
        f.debug_struct("StickyConfig")
            .field("cookie", cookie)
            .field("path", path)
            .field("max_age", max_age)
            .field("secure", secure)
            .field("http_only", http_only)
            .field("same_site", same_site)
            .finish_non_exhaustive()
    }
}

/// The text that cannot be in a cookie, if there is one.
pub(crate) fn problem(config: &StickyConfig) -> Option<String> {
    // RFC 9110 §5.6.2.
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    // RFC 6265 §4.1.1: path-value.
    let is_path = |octet: u8| (b' '..=b'~').contains(&octet) && octet != b';';
    if config.cookie.is_empty() || !config.cookie.bytes().all(is_token) {
        return Some(config.cookie.clone());
    }
    let is_good = config.path.starts_with('/') && config.path.bytes().all(is_path);
    (!is_good).then(|| config.path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let config = StickyConfig::new("backend", [7; 16]);
        let token = Token::new(&config, "pool", "10.0.0.1:80");
        assert_eq!(Token::read(&token.digits()), Some(token));
        assert_ne!(Token::new(&config, "pool", "10.0.0.2:80"), token);
        assert_ne!(Token::new(&StickyConfig::new("backend", [8; 16]), "pool", "10.0.0.1:80"), token);
        for wrong in [&b""[..], b"0123456789abcde", b"0123456789abcdef0", b"0123456789ABCDEF", b"0123456789abcdeg"] {
            assert_eq!(Token::read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_text_of_the_cookie() {
        let written = |config: &StickyConfig| {
            let mut text = Vec::new();
            config.write(Token(0x0123_4567_89ab_cdef), &mut text);
            String::from_utf8(text).unwrap()
        };
        let mut config = StickyConfig::new("b", [7; 16]);
        assert_eq!(written(&config), "b=0123456789abcdef; Path=/; HttpOnly; SameSite=Lax");
        config.max_age = Some(3600);
        (config.secure, config.http_only, config.same_site) = (true, false, Some(SameSite::None));
        assert_eq!(written(&config), "b=0123456789abcdef; Path=/; Max-Age=3600; Secure; SameSite=None");
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let config = StickyConfig::new("b", [7; 16]);
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"b=12", Some(b"12")),
            (b"ab=1; b=2; b=3", Some(b"2")),
            (b"a=b=1;b=4 ", Some(b"4")),
            (b"bb=1; B=2", None),
            (b"b", None),
            (b"", None),
        ];
        for (field, expected) in cases {
            assert_eq!(config.find(field), expected, "{field:?}");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let shown = format!("{:?}", StickyConfig::new("b", [201; 16]));
        assert!(!shown.contains("201"), "{shown}");
    }
}
