//! Requests: as much of HTTP as it takes to find out which file is asked for.

/// The longest head of a request.
pub(crate) const LONGEST: usize = 4096;

/// A request for a file.
pub(crate) struct Request<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) is_1_1: bool,
    /// Whether the connection stays for another one.
    pub(crate) stays: bool,
    /// Octets.
    pub(crate) length: usize,
}

/// What octets begin with.
pub(crate) enum Found<'a> {
    Request(Request<'a>),
    /// More has to come.
    Part,
    Refused,
}

/// Finds the first request.
pub(crate) fn find(octets: &[u8]) -> Found<'_> {
    let mut lines = Lines { octets, at: 0 };
    let Some(first) = lines.next() else { return part(octets) };
    let Some(rest) = first.strip_prefix(b"GET ") else { return Found::Refused };
    let (path, is_1_1) = match (rest.strip_suffix(b" HTTP/1.1"), rest.strip_suffix(b" HTTP/1.0")) {
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        _ => return Found::Refused,
    };
    let mut stays = is_1_1;
    loop {
        match lines.next() {
            None => return part(octets),
            Some([]) => return Found::Request(Request { path, is_1_1, stays, length: lines.at }),
            Some([b'c' | b'C', b'o' | b'O', line @ ..]) if is(line, b"nnection: close") => stays = false,
            Some([b'c' | b'C', b'o' | b'O', line @ ..]) if is(line, b"nnection: keep-alive") => stays = true,
            Some(_) => {}
        }
    }
}

fn is(line: &[u8], what: &[u8]) -> bool {
    line.eq_ignore_ascii_case(what)
}

fn part(octets: &[u8]) -> Found<'_> {
    if octets.len() < LONGEST { Found::Part } else { Found::Refused }
}

struct Lines<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.octets[self.at..];
        let end = rest.iter().position(|octet| *octet == b'\n')?;
        self.at += end + 1;
        let line = &rest[..end];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}
