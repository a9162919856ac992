//! Backends that do as a test says, and remember every octet that they got.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::message::{Connection, Message, ok};

/// One backend, until the value is dropped.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// Requests as a strict reader understood them; and what was none.
    asked: Mutex<Vec<Message>>,
    faults: Mutex<Vec<String>>,
    connections: Mutex<usize>,
}

impl Backend {
    /// Each connection is `serve`d on a thread of its own.
    pub(crate) fn new(serve: impl Fn(Asked<'_>) + Send + Sync + 'static) -> Backend {
        Backend::at("127.0.0.1:0".parse().unwrap(), serve)
    }

    pub(crate) fn at(address: SocketAddr, serve: impl Fn(Asked<'_>) + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind(address).unwrap();
        let (address, shared, serve) = (listener.local_addr().unwrap(), Arc::<Shared>::default(), Arc::new(serve));
        let all = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if all.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (shared, serve) = (all.clone(), serve.clone());
                *shared.connections.lock().unwrap() += 1;
                std::thread::spawn(move || serve(Asked { connection: Connection::of(stream), shared: &shared }));
            }
        });
        Backend { address, shared }
    }

    /// One that answers each request by `answer`.
    pub(crate) fn answering(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Backend {
        Backend::new(move |mut asked| {
            while let Some(request) = asked.next() {
                if asked.connection.send(answer(&request)).is_err() {
                    return;
                }
            }
        })
    }

    /// One that says which path it was asked for, and that nobody may keep that.
    pub(crate) fn echoing() -> Backend {
        Backend::answering(|request| ok("Cache-Control: private\r\n", request.target()).into_bytes())
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Message> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// What came that was no request.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // So that it notices, and listens no more.
        _ = std::net::TcpStream::connect(self.address);
    }
}

/// A connection to a backend.
pub(crate) struct Asked<'a> {
    pub(crate) connection: Connection,
    shared: &'a Shared,
}

impl Asked<'_> {
    /// The next request, if one comes before the end.
    pub(crate) fn next(&mut self) -> Option<Message> {
        match self.connection.request() {
            Ok(request) => {
                self.shared.asked.lock().unwrap().push(request.clone());
                Some(request)
            }
            Err(error) => {
                let unread = String::from_utf8_lossy(&self.connection.unread).into_owned();
                if !unread.is_empty() || error.kind() == std::io::ErrorKind::Other {
                    self.shared.faults.lock().unwrap().push(format!("{error}: {unread}"));
                }
                None
            }
        }
    }
}
