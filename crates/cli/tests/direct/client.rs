//! An HTTP client on the kernel's TCP.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::lab::Namespace;
use crate::pattern::Comparison;

/// What a path may contain as it is, beside letters and digits.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// A client on one connection.
pub(crate) struct Client(BufReader<TcpStream>);

/// The head of an answer, and the body if it was read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A field's value; empty if it is absent.
    pub(crate) fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn length(&self) -> u64 {
        self.field("Content-Length").parse().unwrap_or_else(|_| panic!("no length in {:?}", self.fields))
    }
}

impl Client {
    pub(crate) fn connect(from: &Namespace, address: SocketAddr) -> Client {
        from.inside(|| Client::here(address))
    }

    /// In the namespace of the calling thread.
    pub(crate) fn here(address: SocketAddr) -> Client {
        Client::on(TcpStream::connect(address).unwrap())
    }

    /// One of very many: it keeps little memory ready.
    pub(crate) fn with_little_memory(self) -> Client {
        Client(BufReader::with_capacity(1024, self.0.into_inner()))
    }

    pub(crate) fn on(connection: TcpStream) -> Client {
        // Reading that takes this long has failed.
        connection.set_read_timeout(Some(Duration::from_secs(45))).unwrap();
        connection.set_nodelay(true).unwrap();
        Client(BufReader::with_capacity(256 << 10, connection))
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    /// Sends a request for a file of a site, with further fields, each with its line's end.
    pub(crate) fn ask(&mut self, file: &Path, fields: &str) {
        self.send(&request(file, fields));
    }

    pub(crate) fn send(&mut self, octets: &str) {
        self.0.get_mut().write_all(octets.as_bytes()).unwrap();
    }

    pub(crate) fn get(&mut self, file: &str) -> Answer {
        self.ask(Path::new(file), "");
        self.answer()
    }

    /// The next answer with its body.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        answer.body = vec![0; answer.length() as usize];
        self.0.read_exact(&mut answer.body).unwrap();
        answer
    }

    /// The next answer as far as its fields.
    pub(crate) fn head(&mut self) -> Answer {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the connection ended after {lines:?}");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let fields = lines[1..].iter().filter_map(|line| line.split_once(": "));
        Answer {
            status: status.unwrap_or_else(|| panic!("no status in {lines:?}")),
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: Vec::new(),
        }
    }

    /// Reads a body up to this octet and compares it.
    pub(crate) fn compare(&mut self, comparison: &mut Comparison, until: u64) {
        while comparison.at() < until {
            let available = self.available();
            assert!(!available.is_empty(), "the connection ended at {} of {until}", comparison.at());
            let count = available.len().min((until - comparison.at()) as usize);
            comparison.take(&available[..count]);
            self.0.consume(count);
        }
    }

    /// Whether the peer has sent everything and finished.
    pub(crate) fn is_finished(&mut self) -> bool {
        self.available().is_empty()
    }

    /// What has arrived, as soon as there is something; nothing at the end.
    fn available(&mut self) -> &[u8] {
        // A wait with a limit is not taken up again by the kernel after an interruption.
        while self.0.fill_buf().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
        self.0.fill_buf().unwrap()
    }
}

/// A request for a file of a site.
pub(crate) fn request(file: &Path, fields: &str) -> String {
    let path = utf8_percent_encode(file.to_str().unwrap(), ENCODED);
    format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}
