//! The listener and the connection for tokio.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::TcpStream as BlockingStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::MAX_SENDERS;
use crate::connection::Connection;
use crate::door::Door;
use crate::frame::Fault;
use crate::intake::{Intake, Progress};
use crate::listener::is_passing;
use crate::options::Options;

/// Takes over connections that are handed to a Unix socket, on tokio. Its file goes with it.
pub struct AsyncListener {
    listener: UnixListener,
    /// It holds the file.
    _door: Door,
    options: Options,
    senders: JoinSet<Result<Option<AsyncConnection>, Fault>>,
    refused: u64,
}

/// A client's TCP connection, on tokio. Reading begins with what had been read from it before it was handed over.
pub type AsyncConnection = Connection<TcpStream>;

impl AsyncListener {
    /// Listens at `path`, with the default [`Options`]. A socket there at which nobody listens any more is replaced.
    ///
    /// # Errors
    /// Somebody listens there, something else is there, or the path cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime with input, output and time.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<AsyncListener> {
        AsyncListener::bind_with(path, Options::default())
    }

    /// As [`AsyncListener::bind`], with other options.
    ///
    /// # Errors
    /// As [`AsyncListener::bind`].
    ///
    /// # Panics
    /// As [`AsyncListener::bind`].
    pub fn bind_with(path: impl AsRef<Path>, options: Options) -> io::Result<AsyncListener> {
        let door = Door::open(path.as_ref(), &options)?;
        let listener = UnixListener::from_std(door.listener.try_clone()?)?;
        Ok(AsyncListener { listener, _door: door, options, senders: JoinSet::new(), refused: 0 })
    }

    /// Waits for a connection. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// The system has no descriptors or memory left. It may be called again, after a while.
    pub async fn accept(&mut self) -> io::Result<AsyncConnection> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    /// Senders from which nothing was taken, because they did not do as they should.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<AsyncConnection>> {
        loop {
            match self.senders.poll_join_next(context) {
                Poll::Ready(Some(Ok(Ok(Some(connection))))) => return Poll::Ready(Ok(connection)),
                Poll::Ready(Some(Ok(Ok(None)))) => continue,
                Poll::Ready(Some(_)) => {
                    self.refused += 1;
                    continue;
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            if self.senders.len() >= MAX_SENDERS {
                return Poll::Pending;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((stream, _)) => self.listen_to(stream),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn listen_to(&mut self, stream: UnixStream) {
        let Ok(intake) = Intake::new(stream.as_fd(), &self.options) else {
            self.refused += 1;
            return;
        };
        let patience = self.options.patience;
        self.senders.spawn(async move { timeout(patience, take(stream, intake)).await.unwrap_or(Err(Fault::Late)) });
    }
}

/// Takes a connection from a sender, if it hands one over.
async fn take(sender: UnixStream, mut intake: Intake) -> Result<Option<AsyncConnection>, Fault> {
    loop {
        sender.readable().await.map_err(|_| Fault::Incomplete)?;
        let mut progress = Ok(Progress::Waiting);
        let attempt = sender.try_io(Interest::READABLE, || {
            progress = intake.advance(sender.as_fd());
            match progress {
                Ok(Progress::Waiting) => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        });
        match progress? {
            // What `attempt` says then is that there was nothing to read.
            Progress::Waiting => drop(attempt),
            Progress::Nothing => return Ok(None),
            Progress::Complete => break,
        }
    }
    intake.finish().and_then(|connection| connection.try_into().map_err(|_| Fault::NoConnection)).map(Some)
}

impl TryFrom<Connection> for AsyncConnection {
    type Error = io::Error;

    /// Moves a connection to the runtime at hand.
    fn try_from(connection: Connection) -> io::Result<AsyncConnection> {
        let Connection { stream, read_ahead, addresses } = connection;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream: TcpStream::from_std(stream)?, read_ahead, addresses })
    }
}

impl AsyncConnection {
    /// The same for a server that blocks. The socket does not, until it is told to.
    ///
    /// # Errors
    /// The runtime does not give it back.
    pub fn into_std(self) -> io::Result<(BlockingStream, Vec<u8>)> {
        Ok((self.stream.into_std()?, self.read_ahead.into_rest()))
    }
}

impl AsyncRead for AsyncConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.read_ahead.rest().len().min(buffer.remaining());
        if count == 0 {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        buffer.put_slice(&self.read_ahead.rest()[..count]);
        self.read_ahead.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AsyncConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
