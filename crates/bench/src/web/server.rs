//! The web server's loop, which a thread runs: what clients ask for, and what of the answers is not sent.

use super::documents::{Documents, Part};
use super::request::{self, Found, MAX_REQUEST};
use super::sockets::{Event, Key, Sockets};
use crate::interrupt;
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// How often signals are looked for.
const STEP: Duration = Duration::from_millis(200);
/// Octets received at once: what is left of the last request fits, too.
const BUFFER: usize = 2 * MAX_REQUEST;

/// A thread's connections.
pub(super) struct Server<'m, S: Sockets> {
    sockets: S,
    memory: &'m S::Memory,
    documents: &'m Documents,
    connections: Vec<Connection>,
    buffer: Box<[u8]>,
}

/// At the place of its key; empty for one that is closed.
#[derive(Debug, Default)]
struct Connection {
    is_open: bool,
    /// The start of a request.
    part: Vec<u8>,
    /// What is to be sent.
    output: VecDeque<Part>,
    /// Whether the last answer has been queued.
    closing: bool,
    /// Whether more may have come while there was no room to send.
    unread: bool,
}

impl<'m, S: Sockets> Server<'m, S> {
    /// A server on `sockets` of these documents.
    pub(super) fn new(sockets: S, memory: &'m S::Memory, documents: &'m Documents) -> Server<'m, S> {
        Server { sockets, memory, documents, connections: Vec::new(), buffer: vec![0; BUFFER].into() }
    }

    /// Serves until interrupted.
    ///
    /// # Errors
    /// The sockets failed, or a signal came.
    pub(super) fn run(mut self) -> Result<()> {
        let mut events = Vec::new();
        loop {
            interrupt::check()?;
            self.sockets.wait(&mut events, STEP).context("cannot wait for connections")?;
            for event in events.drain(..) {
                match event {
                    Event::Acceptable => self.accept()?,
                    Event::Readable(key) => self.attend(key, Self::read),
                    Event::Writable(key) => self.attend(key, Self::write),
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        while let Some(key) = self.sockets.accept().context("cannot accept")? {
            if key >= self.connections.len() {
                self.connections.resize_with(key + 1, Connection::default);
            }
            self.connections[key] = Connection { is_open: true, ..Connection::default() };
        }
        Ok(())
    }

    /// Does what there is to do for a connection. A client that fails has only failed itself.
    fn attend(&mut self, key: Key, act: fn(&mut Self, Key) -> io::Result<bool>) {
        if self.connections.get(key).is_some_and(|connection| connection.is_open) {
            match act(self, key) {
                Ok(true) => {}
                Ok(false) => self.close(key),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.close(key),
            }
        }
    }

    fn close(&mut self, key: Key) {
        self.connections[key] = Connection::default();
        self.sockets.close(key);
    }

    /// Receives until there is no more, and answers. Returns whether the connection goes on.
    fn read(&mut self, key: Key) -> io::Result<bool> {
        loop {
            let connection = &mut self.connections[key];
            if connection.closing || !connection.output.is_empty() {
                connection.unread = true;
                return Ok(true);
            }
            let start = connection.part.len();
            self.buffer[..start].copy_from_slice(&connection.part);
            let room = &mut self.buffer[start..];
            let (count, room) = (self.sockets.receive(key, room)?, room.len());
            if count == 0 {
                return Ok(false);
            }
            connection.part.clear();
            connection.answer(&self.buffer[..start + count], self.documents);
            // Most clients now wait: asking whether there is more would be a call for nothing.
            match self.write(key)? {
                false => return Ok(false),
                true if count < room => return Ok(true),
                true => {}
            }
        }
    }

    /// Sends what is queued. Returns whether the connection goes on.
    fn write(&mut self, key: Key) -> io::Result<bool> {
        while !self.connections[key].output.is_empty() {
            let output = self.connections[key].output.make_contiguous();
            match self.sockets.send(key, self.memory, output) {
                Ok(count) => advance(&mut self.connections[key].output, count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        if self.is_done(key) {
            return Ok(false);
        }
        match std::mem::take(&mut self.connections[key].unread) {
            true => self.read(key),
            false => Ok(true),
        }
    }

    fn is_done(&self, key: Key) -> bool {
        let connection = &self.connections[key];
        connection.closing && connection.output.is_empty()
    }
}

impl Connection {
    /// Queues the answers to the requests in `bytes`, and keeps what is no whole request.
    fn answer(&mut self, mut bytes: &[u8], documents: &Documents) {
        while !self.closing && !bytes.is_empty() {
            match request::find(bytes) {
                Found::Request(request) => {
                    self.output.extend(documents.answer(&request));
                    self.closing = request.closes;
                    bytes = &bytes[request.length..];
                }
                Found::Part => {
                    self.part.extend_from_slice(bytes);
                    return;
                }
                Found::Refused => {
                    self.output.push_back(documents.refused.clone());
                    self.closing = true;
                }
            }
        }
    }
}

/// Takes the first `count` octets away.
fn advance(output: &mut VecDeque<Part>, mut count: usize) {
    while let Some(part) = output.front_mut() {
        if count < part.len() {
            part.start += count;
            return;
        }
        count -= part.len();
        output.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::Kernel;
    use super::*;
    use crate::fileset;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::{fs, thread};

    /// A server of the synthetic files and one large one, which runs until the tests end.
    fn start() -> SocketAddr {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("afpa-web-server-test-{}-{number}", std::process::id()));
        fileset::write_synthetic(&root).unwrap();
        fs::write(root.join("large"), vec![b'x'; 8 << 20]).unwrap();
        let (documents, memory) = Documents::load(&root).unwrap();
        fs::remove_dir_all(root).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let sockets = Kernel::listen(free).unwrap();
        thread::spawn(move || Server::new(sockets, &memory, &documents).run());
        free
    }

    fn ask(address: SocketAddr, pieces: &[&str]) -> String {
        let mut client = TcpStream::connect(address).unwrap();
        pieces.iter().for_each(|piece| client.write_all(piece.as_bytes()).unwrap());
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn http_1_0_is_answered_and_closed() {
        let answer = ask(start(), &["GET /synthetic/005 HTT", "P/1.0\r\n", "\r\n"]);
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\nContent-Length: 16384\r\n"), "{}", &answer[..100]);
        assert!(answer.contains("\r\n\r\n/synthetic/005 at octet 0\n"));
    }

    #[test]
    fn requests_that_come_together_are_answered_in_their_order() {
        let requests = "GET /synthetic/001 HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\nGET /synthetic/003 HTTP/1.1\r\nConnection: close\r\n\r\n";
        let answer = ask(start(), &[requests]);
        let places = ["/synthetic/001 at octet 0", "404 Not Found", "/synthetic/003 at octet 0"];
        let places = places.map(|text| answer.find(text).unwrap());
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 3);
    }

    #[test]
    fn a_client_that_reads_late_gets_all_of_it() {
        let requests = "GET /large HTTP/1.1\r\n\r\n".repeat(3) + "GET /large HTTP/1.0\r\n\r\n";
        let mut client = TcpStream::connect(start()).unwrap();
        // The answers do not fit the buffers, so that what is asked meanwhile waits for room.
        client.write_all(&requests.as_bytes()[..40]).unwrap();
        client.write_all(&requests.as_bytes()[40..]).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.iter().filter(|octet| **octet == b'x').count(), 4 * (8 << 20));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(ask(start(), &["POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"]).starts_with("HTTP/1.1 400 "));
    }
}
