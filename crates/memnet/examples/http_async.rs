//! A web server of one thread and one queue: what it sends lies in registered memory, and the TCP server sends it from
//! there. Between a request and its answer it makes no call, takes no lock that anybody else wants, and allocates nothing.
//!
//! ```text
//! cargo run --release -p memnet --example http_async -- /run/afpa/tcp-server.sock 127.0.0.1:8080 DIRECTORY
//! ```
#![forbid(unsafe_code)]

#[path = "support/request.rs"]
mod request;
#[path = "support/site.rs"]
mod site;

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use memnet::{Attachment, Listener, Options, Queue, Socket};
use request::{Found, LONGEST, find};
use site::{Answer, Site};

/// A server, on one thread.
pub(crate) struct Server {
    site: Site,
    queue: Queue,
    listener: Listener,
    /// At their slots' numbers.
    connections: Vec<Option<Box<Connection>>>,
    /// For connections to come.
    spare: Vec<Box<Connection>>,
}

struct Connection {
    /// Dropped when it is closed.
    socket: Option<Socket>,
    /// What has been received and not been answered.
    input: [u8; LONGEST],
    received: usize,
    /// What of an answer has not been posted.
    rest: Answer,
    /// No more is answered.
    ends: bool,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// The directory cannot be read, or the TCP server refuses something.
    pub(crate) fn new(attachment: &Arc<Attachment>, address: SocketAddr, root: &Path) -> io::Result<Server> {
        let site = Site::load(attachment, root)?;
        let queue = Queue::open(attachment)?;
        let listener = Listener::bind(attachment, address, &Options::default())?;
        // Other threads that listen there, too, need not all be told of a connection.
        listener.engines().iter().for_each(|engine| queue.subscribe(engine, true));
        let slots = attachment.region().geometry().slots();
        let connections = (0..slots).map(|_| None).collect();
        Ok(Server { site, queue, listener, connections, spare: Vec::new() })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the TCP server is gone.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut told = Vec::new();
        // Who came before the queue was subscribed is not told of.
        self.accept()?;
        loop {
            self.queue.take(|slot| told.push(slot));
            if told.is_empty() {
                self.queue.wait(None)?;
            }
            for slot in told.drain(..) {
                self.attend(slot)?;
            }
        }
    }

    /// Something has happened.
    fn attend(&mut self, slot: u32) -> io::Result<()> {
        let Some(connection) = &mut self.connections[slot as usize] else { return self.accept() };
        if connection.go_on(&self.site).is_err() {
            self.close(slot);
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.try_accept() {
                Ok(socket) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let slot = socket.channel().number();
            self.queue.subscribe(socket.channel(), false);
            let mut connection = self.spare.pop().unwrap_or_else(Connection::new);
            connection.socket = Some(socket);
            // What has come before it was subscribed to.
            let goes_on = connection.go_on(&self.site);
            self.connections[slot as usize] = Some(connection);
            if goes_on.is_err() {
                self.close(slot);
            }
        }
    }

    fn close(&mut self, slot: u32) {
        if let Some(mut connection) = self.connections[slot as usize].take() {
            connection.reset();
            self.spare.push(connection);
        }
    }
}

/// A connection is done with.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Over {
        Over
    }
}

impl Connection {
    fn new() -> Box<Connection> {
        Box::new(Connection { socket: None, input: [0; LONGEST], received: 0, rest: Answer::default(), ends: false })
    }

    fn reset(&mut self) {
        self.socket = None;
        (self.received, self.rest, self.ends) = (0, Answer::default(), false);
    }

    /// Does what can be done now.
    fn go_on(&mut self, site: &Site) -> Result<(), Over> {
        let Some(socket) = &self.socket else { return Err(Over) };
        if !self.rest.0[0].is_empty() {
            socket.stop_waiting();
            if !post(socket, site, &mut self.rest)? {
                return Ok(());
            }
        }
        loop {
            // One answer after another, as long as there is room for jobs.
            let mut done = 0;
            while !self.ends && done < self.received {
                let answer = match find(&self.input[done..self.received]) {
                    Found::Request(request) => {
                        done += request.length;
                        self.ends = !request.stays;
                        site.answer(&request)
                    }
                    Found::Part => break,
                    Found::Refused => {
                        self.ends = true;
                        site.refused()
                    }
                };
                self.rest.clone_from(answer);
                if !post(socket, site, &mut self.rest)? {
                    break;
                }
            }
            self.input.copy_within(done..self.received, 0);
            self.received -= done;
            if !self.rest.0[0].is_empty() {
                return Ok(());
            }
            if self.ends {
                return Err(Over);
            }
            match socket.try_recv(&mut self.input[self.received..]) {
                Ok(0) => return Err(Over),
                Ok(count) => self.received += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Posts what is left of an answer. Returns whether that was all; otherwise the queue is told when there is room for more.
fn post(socket: &Socket, site: &Site, rest: &mut Answer) -> io::Result<bool> {
    while !rest.0[0].is_empty() {
        // The memory is kept until the end: there is no need to know when it has been sent.
        match socket.post(&site.memory, rest.0[0].clone()) {
            Ok(_) => rest.0 = [rest.0[1].clone(), 0..0],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[allow(dead_code, reason = "its test has it as a module")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, address, root] = arguments.as_slice() else {
        return Err("usage: http_async SOCKET ADDRESS:PORT DIRECTORY".into());
    };
    let attachment = Attachment::attach(Path::new(path), "http_async")?;
    let mut server = Server::new(&attachment, address.parse()?, Path::new(root))?;
    println!("http_async: {root} on {}", server.address()?);
    Ok(server.run()?)
}
