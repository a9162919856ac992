//! Lists of members parted by commas (RFC 9110 §5.6.1), octets of fields, and their small syntax.

/// The members of one field line, without the white space around them; empty ones are left out. A comma
/// within a quoted string parts nothing. A string that is never closed is none, so that whatever follows
/// it is still seen: it might be `no-store`.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    rest: &'a [u8],
    /// No quoted string begins in the rest.
    is_unquoted: bool,
}

impl<'a> Members<'a> {
    /// Of this line.
    pub fn of(line: &'a [u8]) -> Self {
        Self { rest: line, is_unquoted: false }
    }

    fn end(&mut self) -> usize {
        let mut at = 0;
        while let Some(&octet) = self.rest.get(at) {
            match octet {
                b',' => return at,
                b'"' if !self.is_unquoted => match quoted_length(&self.rest[at..]) {
                    Some(length) => at += length,
                    None => self.is_unquoted = true,
                },
                _ => at += 1,
            }
        }
        at
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = self.end();
            let member = trimmed(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// The length of the quoted string that `text` begins with, quotation marks included.
fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Without spaces and tabs at both ends.
pub(crate) fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Without the quotation marks around it, if it has them. Escapes within stay as they are: no value that is
/// understood here has any.
pub(crate) fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] => inner,
        _ => text,
    }
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_members_but_not_within_strings() {
        for (line, members) in [
            ("", &[][..]),
            (" , ,\t", &[]),
            ("a", &["a"]),
            (" a ,b,, c d ", &["a", "b", "c d"]),
            (r#"a="b, c", d"#, &[r#"a="b, c""#, "d"]),
            (r#"a="b\", c", d"#, &[r#"a="b\", c""#, "d"]),
            (r#"a="b, no-store"#, &[r#"a="b"#, "no-store"]),
            (r#"a="b\", no-store"#, &[r#"a="b\""#, "no-store"]),
        ] {
            let found: Vec<_> = Members::of(line.as_bytes()).map(|m| std::str::from_utf8(m).unwrap()).collect();
            assert_eq!(found, members, "{line}");
        }
    }
}
