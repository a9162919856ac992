//! The least that a server on kernel sockets can cost: one io_uring loop that answers whatever ends
//! in an empty line with one constant of 1 KiB. It parses nothing and looks nothing up.

use crate::interrupt;
use afpa_platform::gather::Gather;
use afpa_platform::uring::{Completion, Received, Ring, Token};
use anyhow::{Context, Result, anyhow};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The most answers in one send to a client that pipelines.
const MAX_BATCH: u32 = 16;
/// How often signals are looked for.
const PATIENCE: Duration = Duration::from_millis(500);
/// An empty line, which ends a request.
const END: &[u8; 4] = b"\r\n\r\n";
/// What a request of a client that wants one answer only ends in, as `afpa-bench load` sends it.
const CLOSE: &[u8] = b"\r\nConnection: close\r\n\r\n";

/// Answers until interrupted.
///
/// # Errors
/// This kernel offers no io_uring, the ring failed, or a signal came.
pub(super) fn serve(listener: &TcpListener) -> Result<()> {
    afpa_platform::uring::probe().map_err(|reason| anyhow!("{reason}"))?;
    let mut responder = Responder::new(listener).context("cannot open a ring")?;
    loop {
        responder.ring.submit_and_wait(Some(PATIENCE)).context("the ring failed")?;
        interrupt::check()?;
        while let Some(completion) = responder.ring.completion() {
            responder.handle(completion);
        }
    }
}

struct Responder<'l> {
    ring: Ring,
    listener: &'l TcpListener,
    accepting: bool,
    connections: Vec<Connection>,
    free: Vec<usize>,
    #[expect(clippy::vec_box, reason = "the ring takes boxes and gives them back")]
    spare: Vec<Box<Gather>>,
    answer: Vec<u8>,
    last_answer: Vec<u8>,
}

#[derive(Default)]
struct Connection {
    socket: Option<OwnedFd>,
    receiving: bool,
    sending: bool,
    closing: bool,
    scanner: Scanner,
    /// Answers that are owed.
    due: u32,
    /// The client has finished, or wants no further answer.
    last: bool,
}

impl<'l> Responder<'l> {
    fn new(listener: &'l TcpListener) -> io::Result<Responder<'l>> {
        let mut responder = Responder {
            ring: Ring::new()?,
            listener,
            accepting: false,
            connections: Vec::new(),
            free: Vec::new(),
            spare: Vec::new(),
            answer: answer(""),
            last_answer: answer("Connection: close\r\n"),
        };
        responder.accept();
        Ok(responder)
    }

    fn handle(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { socket, more, .. } => self.accepted(socket, more),
            Completion::Received { token, octets, more } => self.received(token as usize, octets, more),
            Completion::Sent { token, gather, result } => self.sent(token as usize, gather, result),
            Completion::Closed { token, .. } => {
                self.connections[token as usize].closing = false;
                self.proceed(token as usize);
            }
            // Nothing is polled.
            _ => {}
        }
    }

    fn accept(&mut self) {
        self.accepting = true;
        self.ring.accept(0, self.listener.as_fd());
    }

    fn accepted(&mut self, socket: io::Result<OwnedFd>, more: bool) {
        self.accepting = more;
        // Without descriptors, accepting waits until a connection has been closed.
        let Ok(socket) = socket else { return };
        if !more {
            self.accept();
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Connection::default());
            self.connections.len() - 1
        });
        // One receive for the first request: a client that wants one answer leaves none behind.
        self.ring.receive(index as Token, socket.as_fd(), false);
        self.connections[index] = Connection { socket: Some(socket), receiving: true, ..Connection::default() };
    }

    fn received(&mut self, index: usize, octets: io::Result<Received>, more: bool) {
        let connection = &mut self.connections[index];
        connection.receiving = more;
        match octets {
            Ok(received) => {
                let octets = self.ring.octets(&received);
                connection.last |= received.is_end() || octets.ends_with(CLOSE);
                connection.due += connection.scanner.scan(octets);
                self.ring.recycle(received);
            }
            // The pass used up the receive buffers; they are back at its end.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {}
            Err(_) => connection.last = true,
        }
        self.proceed(index);
    }

    fn sent(&mut self, index: usize, mut gather: Box<Gather>, result: io::Result<u64>) {
        let connection = &mut self.connections[index];
        connection.sending = false;
        match result {
            Ok(count) => gather.advance(count),
            Err(_) => {
                connection.due = 0;
                connection.last = true;
                gather.clear();
            }
        }
        match &connection.socket {
            Some(socket) if !gather.is_empty() => {
                connection.sending = true;
                self.ring.send(index as Token, socket.as_fd(), gather);
            }
            _ => {
                self.spare.push(gather);
                self.proceed(index);
            }
        }
    }

    /// Does what the connection is ready for: answer, close, receive, or be forgotten.
    fn proceed(&mut self, index: usize) {
        let token = index as Token;
        let connection = &mut self.connections[index];
        if connection.sending || connection.closing {
            return;
        }
        let Some(socket) = connection.socket.take() else { return self.forget(index) };
        let batch = connection.due.min(MAX_BATCH);
        connection.due -= batch;
        let closes = connection.last && connection.due == 0;
        if closes && connection.receiving {
            self.ring.cancel_receive(token);
        }
        if batch > 0 {
            let mut gather = self.spare.pop().unwrap_or_default();
            gather.clear();
            let answer = if closes { &self.last_answer } else { &self.answer };
            (0..batch).for_each(|_| gather.copy(answer));
            connection.sending = true;
            if closes {
                connection.closing = true;
                return self.ring.send_and_close(token, socket, gather);
            }
            self.ring.send(token, socket.as_fd(), gather);
        } else if closes {
            drop(socket);
            return self.forget(index);
        }
        if !connection.receiving && !connection.last {
            connection.receiving = true;
            self.ring.receive(token, socket.as_fd(), true);
        }
        connection.socket = Some(socket);
    }

    /// The socket is closed; the slot is free when the kernel has no operation for it any more.
    fn forget(&mut self, index: usize) {
        if !self.connections[index].receiving {
            self.free.push(index);
        }
        if !self.accepting {
            self.accept();
        }
    }
}

/// Counts requests in a stream by their empty lines, however it is cut.
#[derive(Clone, Copy, Debug, Default)]
struct Scanner {
    /// How much of an empty line has been seen.
    matched: usize,
}

impl Scanner {
    fn scan(&mut self, octets: &[u8]) -> u32 {
        let mut count = 0;
        // Most receives are whole requests, of which only the end matters.
        let mut rest = octets;
        while let Some(&first) = rest.first() {
            if self.matched == 0 && first != END[0] {
                rest = &rest[memchr::memchr(END[0], rest).unwrap_or(rest.len())..];
                continue;
            }
            self.matched = match first {
                octet if octet == END[self.matched] => self.matched + 1,
                octet => usize::from(octet == END[0]),
            };
            if self.matched == END.len() {
                self.matched = 0;
                count += 1;
            }
            rest = &rest[1..];
        }
        count
    }
}

fn answer(header: &str) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nServer: ring\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/html\r\n\
         {header}Content-Length: 1024\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + 1024, b'x');
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;

    #[test]
    fn requests_are_counted_however_they_are_cut() {
        let stream = b"GET / HTTP/1.1\r\nA: b\r\n\r\n\r\r\n\r\nx\r\n\r\r\n\r\n";
        for cut in 1..stream.len() {
            let mut scanner = Scanner::default();
            let count: u32 = stream.chunks(cut).map(|chunk| scanner.scan(chunk)).sum();
            assert_eq!(count, 3, "in pieces of {cut}");
        }
    }

    #[test]
    fn every_request_is_answered_and_the_last_one_closes() {
        if let Err(reason) = afpa_platform::uring::probe() {
            eprintln!("skipped: {reason}");
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener));
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let mut first = vec![0; answer("").len()];
            client.read_exact(&mut first).unwrap();
            assert_eq!(first, answer(""));
            client.write_all(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).unwrap();
            assert_eq!(rest.len(), 2 * answer("Connection: close\r\n").len());
        }
    }
}
