//! Responses as a client reads them.

/// A response. Its framing was valid, or it would not be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// In the order in which they came, names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a field that must not be repeated.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is repeated: {self:?}");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Whether the server says that this is the connection's last response.
    pub fn says_close(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// Reads the response that `octets` start with. Returns it and its length.
///
/// Lengths come from Content-Length alone (RFC 9112 §6.3): this server has no other framing.
pub fn parse(octets: &[u8], to_head: bool) -> (Response, usize) {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut fields);
    let readable = || String::from_utf8_lossy(&octets[..octets.len().min(1000)]).into_owned();
    let head = match parsed.parse(octets) {
        Ok(httparse::Status::Complete(length)) => length,
        other => panic!("{other:?}: {}", readable()),
    };
    assert_eq!(parsed.version, Some(1));
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let fields = parsed.headers.iter().map(|field| (field.name.to_ascii_lowercase(), text(field.value))).collect();
    let mut response = Response { status: parsed.code.unwrap(), fields, body: Vec::new() };
    let length = match (to_head, response.status) {
        (true, _) | (_, 204 | 304) => 0,
        _ => response.field("content-length").expect("a length").parse().unwrap(),
    };
    let body = octets.get(head..head + length).unwrap_or_else(|| panic!("cut off: {}", readable()));
    response.body = body.to_vec();
    (response, head + length)
}

/// Reads `octets` as responses and nothing else, none of them to HEAD.
pub fn parse_all(octets: &[u8]) -> Vec<Response> {
    let mut rest = octets;
    let mut responses = Vec::new();
    while !rest.is_empty() {
        let (response, length) = parse(rest, false);
        rest = &rest[length..];
        responses.push(response);
    }
    responses
}

/// The parts of a multipart/byteranges response: the type, the Content-Range and the octets of each.
pub fn parts(response: &Response) -> Vec<(String, String, Vec<u8>)> {
    let content_type = response.field("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let mut parts = Vec::new();
    let mut rest = after(&response.body, delimiter.as_bytes());
    while !rest.starts_with(b"--") {
        let end = find(rest, delimiter.as_bytes());
        let part = rest[..end].strip_prefix(b"\r\n").unwrap();
        let blank = find(part, b"\r\n\r\n");
        let head = std::str::from_utf8(&part[..blank]).unwrap();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        parts.push((field("Content-Type: "), field("Content-Range: "), part[blank + 4..].to_vec()));
        rest = &rest[end + delimiter.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    parts
}

fn after<'a>(octets: &'a [u8], pattern: &[u8]) -> &'a [u8] {
    &octets[find(octets, pattern) + pattern.len()..]
}

fn find(octets: &[u8], pattern: &[u8]) -> usize {
    octets.windows(pattern.len()).position(|window| window == pattern).expect("the pattern")
}
