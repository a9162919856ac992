//! Clients that ask all the time, and expect each of their requests to be answered.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::server::eventually;

const PATIENCE: Duration = Duration::from_secs(60);

/// Threads that ask until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl Load {
    /// Some that connect for each request, and as many that keep their connection.
    pub(crate) fn start(address: SocketAddr, body: &'static str) -> Load {
        Load::of(4, move |number| if number % 2 == 0 { ask_once(address, body) } else { ask_often(address, body) })
    }

    /// `count` threads that each do `ask` again and again; it returns how many answers it had.
    pub(crate) fn of(count: usize, ask: impl Fn(usize) -> Result<usize, String> + Clone + Send + 'static) -> Load {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = |number| {
            let (stop, answered, ask) = (stop.clone(), answered.clone(), ask.clone());
            std::thread::spawn(move || {
                while !stop.load(Relaxed) {
                    answered.fetch_add(ask(number)?, Relaxed);
                }
                Ok(())
            })
        };
        let threads = (0..count).map(thread).collect();
        Load { stop, answered, threads }
    }

    /// Waits until so many more requests were answered.
    pub(crate) fn goes_on(&self, more: usize) {
        let enough = self.answered.load(Relaxed) + more;
        eventually("an answer", || {
            let has_failed = self.threads.iter().any(JoinHandle::is_finished);
            has_failed || self.answered.load(Relaxed) >= enough
        });
    }

    /// Ends it. No request may have failed.
    pub(crate) fn end(self) {
        self.stop.store(true, Relaxed);
        let failures: Vec<_> = self.threads.into_iter().filter_map(|thread| thread.join().unwrap().err()).collect();
        assert_eq!(failures, [""; 0], "of {} answers", self.answered.load(Relaxed));
    }
}

/// A connection for one request.
fn ask_once(address: SocketAddr, body: &str) -> Result<usize, String> {
    let mut connection = Connection::open(address)?;
    connection.ask("Connection: close\r\n", body)?;
    connection.has_ended()?;
    Ok(1)
}

/// A connection for up to fifty requests. It may end behind an answer that says so, and nowhere else: while requests
/// come one after the other, the server is never idle for long enough to have reason to.
fn ask_often(address: SocketAddr, body: &str) -> Result<usize, String> {
    let mut connection = Connection::open(address)?;
    for number in 1..=50 {
        if connection.ask("", body)? {
            connection.has_ended()?;
            return Ok(number);
        }
    }
    Ok(50)
}

/// A client's connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Connection, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("connecting: {error}"))?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Sends a request and reads its answer. Returns whether the connection ends with it.
    pub(crate) fn ask(&mut self, fields: &str, expected: &str) -> Result<bool, String> {
        self.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))?;
        self.answer(expected)
    }

    pub(crate) fn send(&mut self, text: &str) -> Result<(), String> {
        self.stream.get_mut().write_all(text.as_bytes()).map_err(|error| format!("sending: {error}"))
    }

    pub(crate) fn answer(&mut self, expected: &str) -> Result<bool, String> {
        let (mut head, mut length, mut closes) = (String::new(), 0, false);
        loop {
            let start = head.len();
            let read = self.stream.read_line(&mut head).map_err(|error| format!("reading: {error} after {head:?}"))?;
            let line = head[start..].to_ascii_lowercase();
            match line.trim_end() {
                _ if read == 0 => return Err(format!("the connection ended after {head:?}")),
                "" => break,
                "connection: close" => closes = true,
                line => {
                    if let Some(value) = line.strip_prefix("content-length: ") {
                        length = value.parse().map_err(|_| format!("{line:?}"))?;
                    }
                }
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(|error| format!("reading the body: {error}"))?;
        if head.starts_with("HTTP/1.1 200 ") && body == expected.as_bytes() { Ok(closes) } else { Err(head) }
    }

    /// Nothing but the end follows.
    pub(crate) fn has_ended(&mut self) -> Result<(), String> {
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => Ok(()),
            other => Err(format!("more than an answer: {other:?}")),
        }
    }
}

/// A server behind the server, on as many threads as it has connections.
pub(crate) fn backend(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_all(stream, body));
        }
    });
    address
}

fn answer_all(mut stream: TcpStream, body: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: {length}\r\n\r\n{body}")?;
        }
    }
}
