//! What `axum::serve` wants of a listener.

use std::io;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};

use crate::asynchronous::{AsyncConnection, AsyncListener};
use crate::connection::Addresses;

/// How long is waited until the system is asked again for what it has just refused.
const PAUSE: Duration = Duration::from_millis(100);

impl Listener for AsyncListener {
    type Io = AsyncConnection;
    type Addr = Addresses;

    async fn accept(&mut self) -> (AsyncConnection, Addresses) {
        loop {
            match AsyncListener::accept(self).await {
                Ok(connection) => {
                    let addresses = connection.addresses();
                    return (connection, addresses);
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// A Unix socket has no such address.
    fn local_addr(&self) -> io::Result<Addresses> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// `ConnectInfo<Addresses>`, with `into_make_service_with_connect_info::<Addresses>()`.
impl Connected<IncomingStream<'_, AsyncListener>> for Addresses {
    fn connect_info(stream: IncomingStream<'_, AsyncListener>) -> Addresses {
        *stream.remote_addr()
    }
}
