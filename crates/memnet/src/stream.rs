//! A socket for programs on tokio.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::reactor::{Interest, poll_until};
use crate::socket::{Socket, unless_it_blocks};
use crate::waiting::For;

/// A socket that is read and written as tokio's are. Woken by the attachment's [reactor](crate::Reactor), on whatever
/// runtime.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    /// That there is no room to write is waited for.
    interest: Option<Interest>,
}

impl Stream {
    /// What it is made of.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl From<Socket> for Stream {
    fn from(socket: Socket) -> Stream {
        Stream { socket, interest: None }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = &self.socket;
        let mut attempt = || unless_it_blocks(socket.try_recv(into.initialize_unfilled()));
        let count = ready!(poll_until(socket, For::Arrival, &mut None, context, &mut attempt))??;
        into.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let Stream { socket, interest } = self.get_mut();
        let attempt = || unless_it_blocks(socket.try_send_unannounced(octets));
        poll_until(socket, For::Room, interest, context, attempt).map(|result| result?)
    }

    /// What is written is the server's at once.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.shutdown(Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}
