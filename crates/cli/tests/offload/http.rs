//! A small HTTP client, and a server on the kernel's sockets for offloaded clients.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::programs::{PATIENCE, octets};

/// A connection to a server.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// In lower case, with the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Connection {
        Connection::of(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    fn of(stream: TcpStream) -> Connection {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Connection { stream: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(octets.as_ref()).unwrap();
    }

    /// Reads a response; one to HEAD has no body.
    pub(crate) fn response(&mut self, is_head: bool) -> Result<Response> {
        let head = self.head()?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let body = if is_head || status == 304 { Vec::new() } else { self.body(&head)? };
        Ok(Response { status, head, body })
    }

    /// Sends a request and reads its response.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        let is_head = request.as_ref().starts_with(b"HEAD");
        self.send(&request);
        self.response(is_head).unwrap()
    }

    /// Whether the peer ended it, with nothing unread. Waits for the end, or for something to read.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.stream.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    fn head(&mut self) -> Result<String> {
        let mut head = String::new();
        while self.stream.read_line(&mut head)? > 2 {}
        Ok(head.to_ascii_lowercase())
    }

    fn body(&mut self, head: &str) -> Result<Vec<u8>> {
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let mut body = Vec::new();
        if field("transfer-encoding:") == Some("chunked") {
            loop {
                let mut size = String::new();
                self.stream.read_line(&mut size)?;
                let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
                let start = body.len();
                body.resize(start + size, 0);
                self.stream.read_exact(&mut body[start..])?;
                self.stream.read_line(&mut String::new())?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        match field("content-length:") {
            Some(length) => {
                body.resize(length.parse().expect("a length"), 0);
                self.stream.read_exact(&mut body)?;
            }
            None => drop(self.stream.read_to_end(&mut body)?),
        }
        Ok(body)
    }
}

/// Asks on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str) -> Response {
    Connection::to(address).ask(request("GET", target, "Connection: close\r\n", b""))
}

/// A request; `fields` has a CRLF behind each.
pub(crate) fn request(method: &str, target: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let mut octets = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n").into_bytes();
    octets.extend_from_slice(body);
    octets
}

/// Answers `GET /LENGTH` with so many octets of that seed, and anything with a body with that body. Its thread ends
/// with the tests.
pub(crate) fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Who breaks off is not the origin's affair.
            std::thread::spawn(move || answer(&mut Connection::of(stream)));
        }
    });
    address
}

fn answer(connection: &mut Connection) -> Result<()> {
    loop {
        let head = connection.head()?;
        let Some(target) = head.split(' ').nth(1) else { return Ok(()) };
        if head.contains("expect: 100-continue") {
            connection.stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let has_body = head.contains("content-length:") || head.contains("transfer-encoding:");
        let length = target[1..].parse().unwrap_or(0);
        let body = if has_body { connection.body(&head)? } else { octets(length as u64, length) };
        let status = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.stream.get_mut().write_all(status.as_bytes())?;
        if !head.starts_with("head") {
            connection.stream.get_mut().write_all(&body)?;
        }
    }
}
