//! The kernel's sockets, through the C library: an epoll for each thread.

use super::sockets::{Event, Key, Sockets};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// Longer than any benchmark's burst of connections.
const BACKLOG: i32 = 8192;
/// Events taken at once.
const EVENTS: usize = 512;
/// The listener's token; a connection's is its key.
const LISTENER: Token = Token(usize::MAX);
/// Parts that one call sends.
const PARTS: usize = 64;

/// A listener and its connections.
#[derive(Debug)]
pub(super) struct Kernel {
    poll: Poll,
    happened: Events,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<Key>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Whether room to send is waited for, from the first time on that there was none.
    watches_room: bool,
}

impl Sockets for Kernel {
    type Memory = Vec<u8>;

    fn register(octets: Vec<u8>) -> io::Result<Vec<u8>> {
        Ok(octets)
    }

    fn listen(address: SocketAddr) -> io::Result<Kernel> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit it, so that it costs no call for each.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let (poll, mut listener) = (Poll::new()?, TcpListener::from_std(socket.into()));
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Kernel {
            poll,
            happened: Events::with_capacity(EVENTS),
            listener,
            connections: Vec::new(),
            free: Vec::new(),
        })
    }

    fn wait(&mut self, events: &mut Vec<Event>, limit: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.happened, Some(limit)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.happened {
            let token = event.token();
            if token == LISTENER {
                events.push(Event::Acceptable);
                continue;
            }
            if event.is_writable() {
                events.push(Event::Writable(token.0));
            }
            if event.is_readable() || event.is_error() {
                events.push(Event::Readable(token.0));
            }
            // The end stands behind what is received first, and nothing else tells of it.
            if event.is_read_closed() {
                events.push(Event::Readable(token.0));
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<Option<Key>> {
        let mut stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // A client that is gone again, or a signal.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        };
        let key = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.poll.registry().register(&mut stream, Token(key), Interest::READABLE)?;
        self.connections[key] = Some(Connection { stream, watches_room: false });
        Ok(Some(key))
    }

    fn receive(&mut self, key: Key, buffer: &mut [u8]) -> io::Result<usize> {
        self.connection(key)?.stream.read(buffer)
    }

    fn send(&mut self, key: Key, memory: &Vec<u8>, parts: &[Range<usize>]) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PARTS];
        let count = parts.len().min(PARTS);
        slices.iter_mut().zip(parts).for_each(|(slice, part)| *slice = IoSlice::new(&memory[part.clone()]));
        let expected: usize = parts[..count].iter().map(Range::len).sum();
        let connection = self.connection(key)?;
        let sent = connection.stream.write_vectored(&slices[..count]);
        let is_full = match &sent {
            Ok(octets) => *octets < expected,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if is_full && !connection.watches_room {
            connection.watches_room = true;
            let Kernel { poll, connections, .. } = self;
            if let Some(connection) = &mut connections[key] {
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().reregister(&mut connection.stream, Token(key), interest)?;
            }
        }
        sent
    }

    fn close(&mut self, key: Key) {
        // Closing the descriptor takes it out of the epoll, too.
        if self.connections.get_mut(key).and_then(Option::take).is_some() {
            self.free.push(key);
        }
    }
}

impl Kernel {
    fn connection(&mut self, key: Key) -> io::Result<&mut Connection> {
        self.connections.get_mut(key).and_then(Option::as_mut).ok_or_else(|| ErrorKind::NotConnected.into())
    }
}
