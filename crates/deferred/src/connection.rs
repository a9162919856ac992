//! A connection that was handed over.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Between whom a connection is, as the one who handed it over says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Addresses {
    /// The client. Behind a proxy, the one whom the proxy speaks for, if it is believed.
    pub client: SocketAddr,
    /// What the client connected to.
    pub local: SocketAddr,
}

/// A client's TCP connection. Reading begins with what had been read from it before it was handed over.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) read_ahead: ReadAhead,
    pub(crate) addresses: Addresses,
}

/// Octets that come in front of the connection's.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    octets: Vec<u8>,
    read: usize,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, read_ahead: Vec<u8>, addresses: Addresses) -> Connection {
        Connection { stream, read_ahead: ReadAhead { octets: read_ahead, read: 0 }, addresses }
    }
}

impl<S> Connection<S> {
    /// The client, as the one who handed the connection over says.
    pub fn client(&self) -> SocketAddr {
        self.addresses.client
    }

    /// What the client connected to.
    pub fn local(&self) -> SocketAddr {
        self.addresses.local
    }

    /// Both of them.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What had been read from the connection and was not read from this one.
    pub fn read_ahead(&self) -> &[u8] {
        self.read_ahead.rest()
    }

    /// The socket itself, for its options.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The socket, and the octets that come in front of its own.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.read_ahead.into_rest())
    }
}

impl ReadAhead {
    pub(crate) fn rest(&self) -> &[u8] {
        &self.octets[self.read..]
    }

    /// Goes on behind the first `count` octets of the rest, and gives the memory back with the last.
    pub(crate) fn consume(&mut self, count: usize) {
        self.read += count.min(self.octets.len() - self.read);
        if self.read == self.octets.len() {
            (self.octets, self.read) = (Vec::new(), 0);
        }
    }

    pub(crate) fn into_rest(mut self) -> Vec<u8> {
        self.octets.drain(..self.read);
        self.octets
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_ahead.rest().len().min(buffer.len());
        if count == 0 {
            return self.stream.read(buffer);
        }
        buffer[..count].copy_from_slice(&self.read_ahead.rest()[..count]);
        self.read_ahead.consume(count);
        Ok(count)
    }
}

impl Write for Connection {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.stream.write(octets)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
