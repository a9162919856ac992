//! A local server behind afpa: it answers on connections that afpa hands over, and never listens to the network.
//!
//! ```text
//! cargo run --example axum --features axum -- /run/app/afpa.sock
//! ```

use std::io;

use afpa_deferred::{Addresses, AsyncListener};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: axum SOCKET"));
    };
    serve(AsyncListener::bind(path)?).await
}

/// Serves whoever is handed over.
async fn serve(listener: AsyncListener) -> io::Result<()> {
    axum::serve(listener, app().into_make_service_with_connect_info::<Addresses>()).await
}

fn app() -> Router {
    Router::new().route("/hello", get(hello)).route("/length", post(length))
}

/// The client's address is the one that afpa saw.
async fn hello(ConnectInfo(addresses): ConnectInfo<Addresses>) -> String {
    format!("hello, {}\n", addresses.client.ip())
}

/// A body of which afpa had read the beginning, or nothing.
async fn length(body: String) -> String {
    format!("{} octets\n", body.len())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use afpa_platform::hand_over::{Addresses, hand_over};

    #[tokio::test]
    async fn it_answers_on_connections_that_are_handed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let server = tokio::spawn(super::serve(super::AsyncListener::bind(&path).unwrap()));
        let client = tokio::task::spawn_blocking(move || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let addresses = Addresses { client: client.local_addr().unwrap(), local: client.peer_addr().unwrap() };
            let (socket, _) = listener.accept().unwrap();
            // The first request and the beginning of the second had been read.
            let (first, second) = ("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "POST /length HTTP/1.1\r\nHost: a\r\n");
            let read = [first, second].concat();
            hand_over(&path, Duration::from_secs(20), &addresses, read.as_bytes(), socket.into()).unwrap();
            client.write_all(b"Content-Length: 5\r\nConnection: close\r\n\r\n12345").unwrap();
            let mut answers = String::new();
            client.read_to_string(&mut answers).unwrap();
            answers
        });
        let answers = client.await.unwrap();
        assert!(answers.contains("\r\n\r\nhello, 127.0.0.1\n"), "{answers}");
        assert!(answers.ends_with("\r\n\r\n5 octets\n"), "{answers}");
        server.abort();
    }
}
