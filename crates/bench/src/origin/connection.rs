//! A connection of an origin: what came and is not dealt with, and what is still to be sent.

use super::request::MAX_HEAD;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;

/// The octets that bodies are made of.
static FILLER: [u8; 64 * 1024] = [b'x'; 64 * 1024];
/// Octets that are held for a peer of an upgraded connection that does not read.
const MAX_ECHO: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// What came and was not dealt with.
    pub(super) input: Vec<u8>,
    /// Octets to be sent first, and how many of them were.
    head: Vec<u8>,
    sent: usize,
    /// Octets of a body that may be sent after them.
    body: u64,
    /// Whether an answer is being made or sent: the next request waits.
    pub(super) busy: bool,
    /// Whether the connection ends with the answer.
    pub(super) closes: bool,
    /// Whether its octets are sent back.
    pub(super) echoes: bool,
    /// Whether it is told when it can be written.
    pub(super) awaits_room: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            input: Vec::new(),
            head: Vec::new(),
            sent: 0,
            body: 0,
            busy: false,
            closes: false,
            echoes: false,
            awaits_room: false,
        }
    }

    /// Reads what is there. Returns whether the connection is still of use.
    ///
    /// # Errors
    /// The peer reset it, or sent more than it was asked for.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        match self.stream.read(buffer) {
            Ok(0) => Ok(false),
            Ok(count) if self.echoes => {
                if self.head.len() + count > MAX_ECHO {
                    return Err(ErrorKind::OutOfMemory.into());
                }
                self.head.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Ok(count) => {
                if self.input.len() + count > MAX_HEAD + buffer.len() {
                    return Err(ErrorKind::OutOfMemory.into());
                }
                self.input.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// `head` and then `body` octets are to be sent.
    pub(super) fn queue(&mut self, head: &[u8], body: u64) {
        self.head.extend_from_slice(head);
        self.body += body;
    }

    /// Sends what it can. Returns whether that was all.
    ///
    /// # Errors
    /// The peer is gone.
    pub(super) fn write(&mut self) -> io::Result<bool> {
        while self.sent < self.head.len() || self.body > 0 {
            let body = self.body.min(FILLER.len() as u64) as usize;
            let pieces = [IoSlice::new(&self.head[self.sent..]), IoSlice::new(&FILLER[..body])];
            match self.stream.write_vectored(&pieces) {
                Ok(count) => {
                    let of_head = count.min(self.head.len() - self.sent);
                    self.sent += of_head;
                    self.body -= (count - of_head) as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.head.clear();
        self.sent = 0;
        Ok(true)
    }
}
