//! Octets as a URI may show them (RFC 3986).

/// Octets of which escapes are decoded and a plus sign is a blank, as forms send them. What is no escape stays.
pub(crate) fn decode_form(octets: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let escaped = match after {
            [high, low, ..] if first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        rest = if escaped.is_some() { &after[2..] } else { after };
        Some(match escaped {
            Some((high, low)) => high << 4 | low,
            None if first == b'+' => b' ',
            None => first,
        })
    })
}

fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).map(|digit| digit as u8)
}

/// Appends decoded octets of a path; what may not stand in one is escaped (RFC 3986 §3.3).
pub(crate) fn encode_path(decoded: &[u8], into: &mut Vec<u8>) {
    encode(decoded, into, |octet| is_path_octet(octet) || octet == b'/');
}

/// Appends a query as sent; its escapes stay as they are (RFC 3986 §3.4).
pub(crate) fn encode_query(sent: &[u8], into: &mut Vec<u8>) {
    encode(sent, into, |octet| is_path_octet(octet) || matches!(octet, b'/' | b'?' | b'%'));
}

/// Appends a host; nothing in it can end it (RFC 3986 §3.2.2).
pub(crate) fn encode_host(host: &[u8], into: &mut Vec<u8>) {
    encode(host, into, |octet| {
        octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_' | b'[' | b']' | b':')
    });
}

fn encode(octets: &[u8], into: &mut Vec<u8>, stays: impl Fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &octet in octets {
        if stays(octet) {
            into.push(octet);
        } else {
            into.extend([b'%', DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]);
        }
    }
}

/// `pchar` of RFC 3986 §3.3, without escapes.
fn is_path_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decoded_comes_back_encoded() {
        let mut encoded = Vec::new();
        encode_path(b"/a b/\r\n?#%\xff\\", &mut encoded);
        assert_eq!(encoded, b"/a%20b/%0D%0A%3F%23%25%FF%5C");
        encoded.clear();
        encode_query(b"a=%41 b\n\"", &mut encoded);
        assert_eq!(encoded, b"a=%41%20b%0A%22");
        encoded.clear();
        encode_host(b"a.b/@c", &mut encoded);
        assert_eq!(encoded, b"a.b%2F%40c");
        assert_eq!(decode_form(b"a+%2b%2%").collect::<Vec<_>>(), b"a +%2%");
    }
}
