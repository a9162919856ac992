//! Server cookies (RFC 7873) in the form that servers of any make can share (RFC 9018).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use siphasher::sip::SipHasher24;

/// Octets of a client cookie (RFC 7873 §4.1).
pub const CLIENT_COOKIE_LEN: usize = 8;
/// Octets of the option with a client cookie and a server cookie of version 1 (RFC 9018 §4).
pub const COOKIE_LEN: usize = CLIENT_COOKIE_LEN + SERVER_COOKIE_LEN;

const SERVER_COOKIE_LEN: usize = 16;
const VERSION: u8 = 1;
/// RFC 9018 §4.3: seconds that a cookie is good, that it may lie ahead, and after which it is renewed.
const MAX_AGE: i32 = 3600;
const MAX_AHEAD: i32 = 300;
const RENEWAL_AGE: i32 = 1800;

/// 128 random bits that the servers of an anycast address share. It shows itself to nobody.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

/// Text that is not 32 hexadecimal digits: what can be said of it without showing any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretParseError {
    /// The first character that is no digit; characters count from 1.
    Character(usize),
    /// So many digits.
    Length(usize),
}

/// What signs cookies and verifies them.
///
/// To replace a secret on many servers (RFC 9018 §5): first all learn the new one as `other`, then all sign with it and
/// have the old one as `other`, and after an hour nothing is left that the old one has signed.
#[derive(Clone)]
pub struct CookieSecrets {
    signing: SipHasher24,
    other: Option<SipHasher24>,
}

/// What a query says about cookies (RFC 7873 §5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CookieStatus {
    /// Nothing (§5.2.1): the answer says nothing either.
    Absent,
    /// A length that no cookie has (§5.2.2): FORMERR.
    Malformed,
    /// A client cookie only (§5.2.3): the client does not know a server cookie.
    ClientOnly([u8; CLIENT_COOKIE_LEN]),
    /// A server cookie that is not good, and why (§5.2.4): treated as if there were none.
    Invalid([u8; CLIENT_COOKIE_LEN], InvalidCookie),
    /// A good one (§5.2.5): the address is the client's own.
    Valid {
        /// Both cookies as they came.
        cookie: [u8; COOKIE_LEN],
        /// Whether the client gets a new one: half an hour has passed, or the secret is being replaced.
        is_renewed: bool,
    },
}

/// What is wrong with a server cookie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidCookie {
    /// Another length or version than ours.
    Form,
    /// Made more than an hour ago.
    Expired,
    /// Made more than five minutes from now.
    Future,
    /// Not made with our secrets for this client.
    Hash,
}

impl CookieSecrets {
    /// Signs with `signing`; both verify.
    pub fn new(signing: Secret, other: Option<Secret>) -> CookieSecrets {
        let hasher = |secret: Secret| SipHasher24::new_with_key(&secret.0);
        CookieSecrets { signing: hasher(signing), other: other.map(hasher) }
    }

    /// Judges the data of a query's COOKIE option. `now` is the wall clock in seconds since 1970, of which the low 32
    /// bits count.
    #[inline]
    pub fn status(&self, option: Option<&[u8]>, client: IpAddr, now: u64) -> CookieStatus {
        let Some(option) = option else { return CookieStatus::Absent };
        let (Some(&client_cookie), 8 | 16..=40) = (option.first_chunk(), option.len()) else {
            return CookieStatus::Malformed;
        };
        if option.len() == CLIENT_COOKIE_LEN {
            return CookieStatus::ClientOnly(client_cookie);
        }
        match self.verify(option, client, now) {
            Ok((cookie, is_renewed)) => CookieStatus::Valid { cookie, is_renewed },
            Err(reason) => CookieStatus::Invalid(client_cookie, reason),
        }
    }

    /// The data of the COOKIE option of the answer to a query of this status, errors included (RFC 7873 §5.2.3,
    /// §5.2.4): whoever has no good server cookie learns one.
    #[inline]
    pub fn reply(&self, status: &CookieStatus, client: IpAddr, now: u64) -> Option<[u8; COOKIE_LEN]> {
        if let CookieStatus::Valid { cookie, is_renewed: false } = *status {
            return Some(cookie);
        }
        status.client_cookie().map(|client_cookie| self.sign(client_cookie, client, now))
    }

    fn sign(&self, client_cookie: [u8; CLIENT_COOKIE_LEN], client: IpAddr, now: u64) -> [u8; COOKIE_LEN] {
        let mut cookie = [0; COOKIE_LEN];
        cookie[..8].copy_from_slice(&client_cookie);
        cookie[8] = VERSION;
        cookie[12..16].copy_from_slice(&(now as u32).to_be_bytes());
        let hash = hash(&self.signing, &cookie, client);
        cookie[16..].copy_from_slice(&hash);
        cookie
    }

    /// The cookie, and whether the client gets a new one.
    fn verify(&self, option: &[u8], client: IpAddr, now: u64) -> Result<([u8; COOKIE_LEN], bool), InvalidCookie> {
        let Ok(cookie) = <[u8; COOKIE_LEN]>::try_from(option) else { return Err(InvalidCookie::Form) };
        if cookie[8] != VERSION {
            return Err(InvalidCookie::Form);
        }
        // RFC 9018 §4.3: the difference of serial numbers (RFC 1982), which outlives the year 2106.
        let made = u32::from_be_bytes([cookie[12], cookie[13], cookie[14], cookie[15]]);
        let age = (now as u32).wrapping_sub(made) as i32;
        if age > MAX_AGE {
            return Err(InvalidCookie::Expired);
        }
        if age < -MAX_AHEAD {
            return Err(InvalidCookie::Future);
        }
        let is_by = |secret: &SipHasher24| is_same(&hash(secret, &cookie, client), &cookie[16..]);
        if is_by(&self.signing) {
            Ok((cookie, age > RENEWAL_AGE))
        } else if self.other.as_ref().is_some_and(is_by) {
            // During the first step of a replacement this renews a little too often, which does no harm.
            Ok((cookie, true))
        } else {
            Err(InvalidCookie::Hash)
        }
    }
}

impl CookieStatus {
    /// Whether the client has shown that the address is its own.
    pub const fn is_valid(&self) -> bool {
        matches!(self, CookieStatus::Valid { .. })
    }

    /// The client's own cookie, if it has sent one.
    pub fn client_cookie(&self) -> Option<[u8; CLIENT_COOKIE_LEN]> {
        match self {
            CookieStatus::Absent | CookieStatus::Malformed => None,
            CookieStatus::ClientOnly(client_cookie) | CookieStatus::Invalid(client_cookie, _) => Some(*client_cookie),
            CookieStatus::Valid { cookie, .. } => cookie.first_chunk().copied(),
        }
    }
}

/// RFC 9018 §4.4: over client cookie, version, reserved octets, timestamp and the client's address. The reserved octets
/// are taken as they came (appendix A.3).
fn hash(secret: &SipHasher24, cookie: &[u8; COOKIE_LEN], client: IpAddr) -> [u8; 8] {
    let mut input = [0; 16 + 16];
    input[..16].copy_from_slice(&cookie[..16]);
    let len = match client.to_canonical() {
        IpAddr::V4(ip) => {
            input[16..20].copy_from_slice(&ip.octets());
            20
        }
        IpAddr::V6(ip) => {
            input[16..].copy_from_slice(&ip.octets());
            32
        }
    };
    secret.hash(&input[..len]).to_le_bytes()
}

/// Compares in a time that does not tell where the first difference is.
fn is_same(left: &[u8; 8], right: &[u8]) -> bool {
    right.len() == left.len() && left.iter().zip(right).fold(0, |differences, (l, r)| differences | (l ^ r)) == 0
}

impl FromStr for Secret {
    type Err = SecretParseError;

    /// 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Secret, SecretParseError> {
        if let Some(at) = text.chars().position(|character| !character.is_ascii_hexdigit()) {
            return Err(SecretParseError::Character(at + 1));
        }
        // All of one octet.
        if text.len() != 32 {
            return Err(SecretParseError::Length(text.len()));
        }
        let digits = text.chars().filter_map(|digit| digit.to_digit(16));
        Ok(Secret(digits.fold(0, |number, digit| number << 4 | u128::from(digit)).to_be_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Debug for CookieSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSecrets").field("has_other", &self.other.is_some()).finish_non_exhaustive()
    }
}

impl fmt::Display for SecretParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected 32 hexadecimal digits, found ")?;
        match self {
            SecretParseError::Character(at) => write!(f, "another character at {at}"),
            SecretParseError::Length(digits) => write!(f, "{digits}"),
        }
    }
}

impl std::error::Error for SecretParseError {}
