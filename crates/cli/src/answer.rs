//! What the admin server of another process of this program answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the server may take to begin its answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head or error that is read.
const LONGEST_HEAD: usize = 16 << 10;
/// The longest body that [`get`] reads.
const LONGEST_BODY: usize = 16 << 20;

/// Connects to an admin server.
///
/// # Errors
/// None listens there, or it does not answer in time: a sentence.
pub(crate) async fn connect(admin: SocketAddr) -> Result<TcpStream, String> {
    let connected = timeout(PATIENCE, TcpStream::connect(admin)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
    connected.map_err(|error| format!("no server answers at {admin}: {error} (start it with --admin, see its --help)"))
}

/// The body of what an admin server has at this path.
///
/// # Errors
/// There is no server, it refuses, or it does not answer in time: a sentence.
pub(crate) async fn get(admin: SocketAddr, path: &str) -> Result<Vec<u8>, String> {
    let stream = connect(admin).await?;
    let read = async {
        let mut answer = Answer::new(stream, format!("GET {path} HTTP/1.0\r\nHost: {admin}\r\n\r\n")).await?;
        if let Some(refusal) = answer.head().await? {
            return Ok(Err(refusal));
        }
        while answer.read().await? > 0 {
            if answer.octets.len() > LONGEST_BODY {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"));
            }
        }
        Ok(Ok(answer.octets))
    };
    let read = timeout(PATIENCE, read).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
    read.map_err(|error| format!("the admin server at {admin} does not answer: {error}"))?
}

/// The server's answer, as far as it has been read.
pub(crate) struct Answer {
    stream: TcpStream,
    /// Behind the head, once that is read: as much of the body as has come and was not taken away.
    pub(crate) octets: Vec<u8>,
}

impl Answer {
    /// Sends a request of HTTP/1.0, so that the answer ends with the connection and its octets come as they are.
    pub(crate) async fn new(stream: TcpStream, request: String) -> io::Result<Answer> {
        let mut rest = request.as_bytes();
        while !rest.is_empty() {
            stream.writable().await?;
            match stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Answer { stream, octets: Vec::new() })
    }

    /// Reads the head and leaves what follows it. If the server refuses, returns why.
    pub(crate) async fn head(&mut self) -> io::Result<Option<String>> {
        let length = loop {
            if let Some(at) = self.octets.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if self.octets.len() > LONGEST_HEAD || self.read().await? == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it speaks no HTTP"));
            }
        };
        let status = String::from_utf8_lossy(self.octets.split(|&octet| octet == b'\r').next().unwrap_or_default());
        let status = status.split(' ').nth(1).unwrap_or_default().to_owned();
        self.octets.drain(..length);
        if status == "200" {
            return Ok(None);
        }
        while self.octets.len() < LONGEST_HEAD && self.read().await? > 0 {}
        let body: serde_json::Value = serde_json::from_slice(&self.octets).unwrap_or_default();
        Ok(Some(body["error"].as_str().map_or(format!("the admin server answers {status}"), str::to_owned)))
    }

    /// Reads more. Returns 0 at the end.
    pub(crate) async fn read(&mut self) -> io::Result<usize> {
        self.octets.reserve(64 << 10);
        loop {
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut self.octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }
}
