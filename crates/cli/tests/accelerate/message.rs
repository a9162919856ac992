//! Messages as octets on a connection.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection, and what was read of it and not used.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) unread: Vec<u8>,
}

/// A message as its receiver reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// With the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Field lines behind the last chunk.
    pub(crate) trailers: String,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Connection {
        Connection::of(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    pub(crate) fn of(stream: TcpStream) -> Connection {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, unread: Vec::new() }
    }

    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write_all(octets.as_ref())
    }

    pub(crate) fn finish(&self) {
        _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends it with RST.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap();
    }

    /// Reads some more; zero at the end.
    pub(crate) fn more(&mut self) -> Result<usize> {
        let mut buffer = vec![0; 65_536];
        let count = self.stream.read(&mut buffer)?;
        self.unread.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Everything until the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while matches!(self.more(), Ok(1..)) {}
        std::mem::take(&mut self.unread)
    }

    /// Waits until the peer has ended the connection, in any way.
    pub(crate) fn has_ended(&mut self) -> bool {
        loop {
            match self.more() {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }

    fn head(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).map_err(Error::other);
            }
            if self.more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.unread.len() < count {
            if self.more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.unread.drain(..count).collect())
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line = self.unread.drain(..end + 2).collect();
                return String::from_utf8(line).map_err(Error::other);
            }
            if self.more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next request. One whose framing is doubtful is an error.
    pub(crate) fn request(&mut self) -> Result<Message> {
        let head = self.head()?;
        let (lengths, chunked) = (field(&head, "content-length"), field(&head, "transfer-encoding"));
        if lengths.len() + chunked.len() > 1 {
            return Err(Error::other(format!("doubtful framing: {head}")));
        }
        self.content(head, false)
    }

    /// The next response that is not interim, to a request other than HEAD.
    pub(crate) fn response(&mut self) -> Result<Message> {
        loop {
            let head = self.head()?;
            if !head.starts_with("HTTP/1.1 1") {
                return self.content(head, true);
            }
        }
    }

    /// The next head, interim or not.
    pub(crate) fn response_head(&mut self) -> Result<String> {
        self.head()
    }

    fn content(&mut self, head: String, until_close: bool) -> Result<Message> {
        let status = head.split(' ').nth(1).unwrap_or_default();
        let is_empty = until_close && (status == "204" || status == "304");
        let mut message = Message { head, body: Vec::new(), trailers: String::new() };
        if is_empty {
        } else if !field(&message.head, "transfer-encoding").is_empty() {
            loop {
                let line = self.line()?;
                let size = line.trim_end().split(';').next().unwrap_or_default();
                let size = usize::from_str_radix(size, 16).map_err(Error::other)?;
                if size == 0 {
                    break;
                }
                let piece = self.exactly(size + 2)?;
                message.body.extend_from_slice(&piece[..size]);
            }
            loop {
                let line = self.line()?;
                if line == "\r\n" {
                    break;
                }
                message.trailers.push_str(&line);
            }
        } else if let Some(length) = field(&message.head, "content-length").first() {
            message.body = self.exactly(length.parse().map_err(Error::other)?)?;
        } else if until_close {
            while self.more()? > 0 {}
            message.body = std::mem::take(&mut self.unread);
        }
        Ok(message)
    }
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// The target of a request.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name).into_iter().next()
    }
}

/// The values of a field, whose name is in lower case.
pub(crate) fn field(head: &str, name: &str) -> Vec<String> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
}

/// A response with a length.
pub(crate) fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}
