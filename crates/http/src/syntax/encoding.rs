//! Accept-Encoding (RFC 9110 §12.5.3).

use super::octet::trimmed;
use crate::files::{Coding, Codings};

/// What the Accept-Encoding fields of a request have said so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AcceptEncoding {
    accepted: Codings,
    refused: Codings,
    /// `*` with a weight other than zero.
    others: bool,
}

impl AcceptEncoding {
    /// Adds one field value. Several fields are one list (RFC 9110 §5.3). What is malformed, or not a
    /// coding known here, is passed over: it asks for nothing that could be given.
    pub(super) fn add(&mut self, value: &[u8]) {
        for element in value.split(|&octet| octet == b',') {
            let mut parts = element.splitn(2, |&octet| octet == b';');
            let name = trimmed(parts.next().unwrap_or_default());
            let Some(accepted) = parts.next().map_or(Some(true), accepts) else { continue };
            if name == b"*" {
                self.others = accepted;
            } else if let Some(coding) = coding(name) {
                let set = if accepted { &mut self.accepted } else { &mut self.refused };
                *set = set.with(coding);
            }
        }
    }

    /// The codings that the client accepts. Weights other than zero are not ranked: which of the
    /// acceptable codings is best is known better here, where it is known what each saves.
    pub(super) fn codings(self) -> Codings {
        if !self.others && self.refused == Codings::NONE {
            return self.accepted;
        }
        let is_accepted = |coding| !self.refused.contains(coding) && (self.others || self.accepted.contains(coding));
        Coding::BY_PREFERENCE
            .into_iter()
            .filter(|&coding| is_accepted(coding))
            .fold(Codings::NONE, |set, coding| set.with(coding))
    }
}

fn coding(name: &[u8]) -> Option<Coding> {
    // RFC 9110 §8.4.1.3: x-gzip is another name of gzip.
    if name.eq_ignore_ascii_case(b"x-gzip") {
        return Some(Coding::Gzip);
    }
    let named = |coding: &Coding| coding.token().is_some_and(|token| name.eq_ignore_ascii_case(token.as_bytes()));
    Coding::BY_PREFERENCE.into_iter().find(named)
}

/// Whether the weight in `parameter` (RFC 9110 §12.4.2) is more than zero; `None` if it is malformed.
fn accepts(parameter: &[u8]) -> Option<bool> {
    let [b'q' | b'Q', b'=', weight @ ..] = trimmed(parameter) else { return None };
    match weight {
        [b'1'] => Some(true),
        [b'1', b'.', decimals @ ..] if decimals.len() <= 3 && decimals.iter().all(|&digit| digit == b'0') => Some(true),
        [b'0'] => Some(false),
        [b'0', b'.', decimals @ ..] if decimals.len() <= 3 && decimals.iter().all(u8::is_ascii_digit) => {
            Some(decimals.iter().any(|&digit| digit != b'0'))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_wildcards_choose() {
        const B: u8 = 4;
        const Z: u8 = 2;
        const G: u8 = 1;
        let rows: &[(&[&str], u8)] = &[
            (&[], 0),
            (&[""], 0),
            (&["gzip"], G),
            (&["gzip, deflate, br, zstd"], B | Z | G),
            (&["GZIP ;Q=1.000 , x-gzip;q=0"], 0),
            (&["x-gzip"], G),
            (&["br;q=1.0, gzip;q=0.8, *;q=0.1"], B | Z | G),
            (&["br;q=0, *"], Z | G),
            (&["*;q=0"], 0),
            (&["*;q=0, gzip"], G),
            (&["gzip;q=0.000"], 0),
            (&["gzip;q=0.001"], G),
            (&["identity;q=0, gzip"], G),
            (&["identity;q=0"], 0),
            (&["gzip;q=2", "br;q=-1", "zstd;q=0.0001", "gzip;level=9"], 0),
            (&["br", "gzip"], B | G),
            (&["br", "br;q=0"], 0),
            (&[",, gzip ,,"], G),
        ];
        for (values, expected) in rows {
            let mut accept = AcceptEncoding::default();
            values.iter().for_each(|value| accept.add(value.as_bytes()));
            assert_eq!(accept.codings().bits(), *expected, "{values:?}");
        }
    }
}
