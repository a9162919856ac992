//! What the web server asks of sockets.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// A connection, until it is closed; its number may then be another's.
pub(super) type Key = usize;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// Clients may be waiting to be accepted.
    Acceptable,
    /// There may be something to receive, the end included.
    Readable(Key),
    /// There may be room to send.
    Writable(Key),
}

/// The sockets of one thread: a listener and its connections. Nothing but [`wait`](Self::wait) waits, except for a
/// send that is said to be synchronous.
pub(super) trait Sockets: Sized + Send {
    /// Memory that is sent from, of all threads.
    type Memory: Sync;

    /// Makes `octets` memory that can be sent from.
    fn register(octets: Vec<u8>) -> io::Result<Self::Memory>;

    /// Listens, beside other threads.
    fn listen(address: SocketAddr) -> io::Result<Self>;

    /// Appends what happened, at the latest after `limit`. What is not dealt with until it would block, or comes up
    /// short, is not said again.
    fn wait(&mut self, events: &mut Vec<Event>, limit: Duration) -> io::Result<()>;

    /// A client, if one is waiting.
    fn accept(&mut self) -> io::Result<Option<Key>>;

    /// Receives; zero octets are the end. [`io::ErrorKind::WouldBlock`] if there is nothing.
    fn receive(&mut self, key: Key, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends these parts of `memory` one after another. Returns how many octets it took;
    /// [`io::ErrorKind::WouldBlock`] if there is no room, and [`Event::Writable`] says when there is.
    fn send(&mut self, key: Key, memory: &Self::Memory, parts: &[Range<usize>]) -> io::Result<usize>;

    /// Closes the connection; what was sent is still delivered.
    fn close(&mut self, key: Key);
}
