//! Accept-Encoding (RFC 9110 §12.5.3).

use super::octets::{members, trim};
use crate::files::{Coding, Codings};

/// What the Accept-Encoding lines of one request say together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct AcceptEncoding {
    accepted: Codings,
    refused: Codings,
    /// `*` with a weight above zero.
    others: bool,
}

impl AcceptEncoding {
    /// Takes one line's value. A member that is malformed counts as absent.
    pub(super) fn add(&mut self, value: &[u8]) {
        for member in members(value) {
            let (name, parameter) = match member.iter().position(|&octet| octet == b';') {
                Some(at) => (trim(&member[..at]), Some(trim(&member[at + 1..]))),
                None => (member, None),
            };
            let Some(accepts) = parameter.map_or(Some(true), is_positive) else { continue };
            if name == b"*" {
                self.others = accepts;
            } else if let Some(coding) = coding(name) {
                let set = if accepts { &mut self.accepted } else { &mut self.refused };
                *set = set.with(coding);
            }
        }
    }

    /// The codings that the client accepts. Without any line that is identity alone: RFC 9110 §12.5.3
    /// would allow every coding, but who does not ask may not know one.
    pub(super) fn codings(self) -> Codings {
        let accepts = |coding| !self.refused.contains(coding) && (self.others || self.accepted.contains(coding));
        if self.accepted == Codings::NONE && !self.others {
            return Codings::NONE;
        }
        Coding::BY_PREFERENCE
            .into_iter()
            .filter(|&coding| accepts(coding))
            .fold(Codings::NONE, Codings::with)
    }
}

fn coding(name: &[u8]) -> Option<Coding> {
    // RFC 9110 §8.4.1.3: x-gzip is the same.
    if name.eq_ignore_ascii_case(b"x-gzip") {
        return Some(Coding::Gzip);
    }
    let named = |coding: &Coding| coding.token().is_some_and(|token| name.eq_ignore_ascii_case(token.as_bytes()));
    Coding::BY_PREFERENCE.into_iter().find(named)
}

/// Whether the weight in `q=0.5` is above zero; `None` if it is none (RFC 9110 §12.4.2).
fn is_positive(parameter: &[u8]) -> Option<bool> {
    let [b'q' | b'Q', b'=', weight @ ..] = parameter else { return None };
    let (whole, thousandths) = match weight {
        [whole] => (whole, &[][..]),
        [whole, b'.', thousandths @ ..] if thousandths.len() <= 3 => (whole, thousandths),
        _ => return None,
    };
    let digits = thousandths.iter().all(u8::is_ascii_digit);
    match whole {
        b'0' if digits => Some(thousandths.iter().any(|&digit| digit != b'0')),
        b'1' if thousandths.iter().all(|&digit| digit == b'0') => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide() {
        use Coding::*;
        let cases: [(&[&str], &[Coding]); 16] = [
            (&[], &[]),
            (&[""], &[]),
            (&["gzip, deflate, br, zstd"], &[Gzip, Brotli, Zstd]),
            (&["GZIP"], &[Gzip]),
            (&["x-gzip"], &[Gzip]),
            (&["gzip", "br"], &[Gzip, Brotli]),
            (&["gzip;q=0"], &[]),
            (&["gzip;q=0.000, br;q=0.001"], &[Brotli]),
            (&["gzip ; q=1.000 ,br; Q=0.5"], &[Gzip, Brotli]),
            (&["*"], &[Gzip, Brotli, Zstd]),
            (&["*, br;q=0"], &[Gzip, Zstd]),
            (&["*;q=0, gzip"], &[Gzip]),
            (&["identity;q=0, gzip"], &[Gzip]),
            (&["gzip;q=1.5, br;q=, zstd;level=3"], &[]),
            (&["gzip;q=0.1234"], &[]),
            (&["deflate, brr, gzi"], &[]),
        ];
        for (lines, expected) in cases {
            let mut accept = AcceptEncoding::default();
            lines.iter().for_each(|line| accept.add(line.as_bytes()));
            let expected = expected.iter().fold(Codings::NONE, |set, &coding| set.with(coding));
            assert_eq!(accept.codings(), expected, "{lines:?}");
        }
    }
}
