//! The origin's loop: one thread, one epoll, and a heap of what is due.

use super::connection::Connection;
use super::counts::Counts;
use super::places::{Admission, Places};
use super::request::{Refused, Request};
use super::resource::{Document, Resource};
use crate::{howl, interrupt};
use afpa_platform::clock;
use anyhow::{Context, Result};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The number under which the listener's events come; connections count from the next.
const LISTENER: u64 = 0;
/// How often signals are looked for.
const STEP: Duration = Duration::from_millis(100);
/// Events taken at once, and octets read at once.
const EVENTS: usize = 512;
const BUFFER: usize = 16 * 1024;
/// Pieces of a body that is spread over a time.
const PIECES: u64 = 16;

const REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const MISSING: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
/// The answer to the key of RFC 6455's example (§1.3), which is the only one that this program's clients send.
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An origin that listens.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: HashMap<u64, Connection>,
    /// The number of the next connection; none is used twice.
    next: u64,
    places: Places<u64>,
    /// How long each request takes besides what it asks for.
    delay: Duration,
    /// Documents that were asked for and are not sent, by their connections.
    jobs: HashMap<u64, Job>,
    due: BinaryHeap<Reverse<(u64, u64)>>,
    counts: Counts,
}

/// A document on its way.
#[derive(Debug)]
struct Job {
    target: String,
    document: Document,
    only_head: bool,
    /// Octets of the body that are not queued yet, once it has begun.
    left: Option<u64>,
}

impl Server {
    /// Listens on `address`; serves at most `places` requests at once, each in `delay` or longer.
    ///
    /// # Errors
    /// The address is not ours to listen on.
    pub(crate) fn listen(address: SocketAddr, places: Option<usize>, delay: Duration) -> Result<Server> {
        let listener = howl::listen(address)?;
        listener.set_nonblocking(true).context("cannot wait for several connections")?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("cannot create an epoll")?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).context("cannot use epoll")?;
        Ok(Server {
            listener,
            epoll,
            connections: HashMap::new(),
            next: LISTENER + 1,
            places: Places::new(places),
            delay,
            jobs: HashMap::new(),
            due: BinaryHeap::new(),
            counts: Counts::default(),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until interrupted.
    ///
    /// # Errors
    /// The listener failed, or a signal came.
    pub(crate) fn run(mut self) -> Result<()> {
        let nothing = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let (mut events, mut buffer) = ([nothing; EVENTS], vec![0; BUFFER]);
        loop {
            interrupt::check()?;
            let timeout = Timespec::try_from(self.wait(clock::now())).context("the time to wait")?;
            let count = match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
                Ok(count) => count,
                Err(Errno::INTR) => 0,
                Err(error) => return Err(error).context("cannot wait for connections"),
            };
            for event in &events[..count] {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    number => self.handle(number, event.flags, &mut buffer),
                }
            }
            self.work(clock::now());
        }
    }

    fn wait(&self, now: u64) -> Duration {
        let due = self.due.peek().map(|Reverse((due, _))| Duration::from_nanos(due.saturating_sub(now)));
        due.map_or(STEP, |due| due.min(STEP))
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => continue,
                Err(error) => return Err(error).context("cannot accept"),
            };
            let number = self.next;
            self.next += 1;
            self.counts.connections += 1;
            // A connection that the system refuses to watch is closed.
            let watched = stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok() && {
                epoll::add(&self.epoll, &stream, EventData::new_u64(number), EventFlags::IN).is_ok()
            };
            if watched {
                self.connections.insert(number, Connection::new(stream));
            }
        }
    }

    fn handle(&mut self, number: u64, flags: EventFlags, buffer: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let readable = flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
        if readable && !connection.read(buffer).unwrap_or(false) {
            return self.forget(number);
        }
        self.proceed(number, clock::now());
    }

    /// A connection that ended; a document that was begun for it keeps its place until its time is over.
    fn forget(&mut self, number: u64) {
        self.connections.remove(&number);
        self.jobs.remove(&number);
    }

    /// Sends what is to be sent, then answers the requests that have come.
    fn proceed(&mut self, number: u64, now: u64) {
        loop {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            let Ok(all) = connection.write() else { return self.forget(number) };
            if all == connection.awaits_room {
                connection.awaits_room = !all;
                let flags = if all { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
                if epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(number), flags).is_err() {
                    return self.forget(number);
                }
            }
            if !all || connection.busy || connection.echoes {
                return;
            }
            if connection.closes {
                return self.forget(number);
            }
            match Request::parse(&connection.input) {
                Ok(None) => return,
                Ok(Some((request, length))) => {
                    connection.input.drain(..length);
                    connection.closes = request.closes;
                    self.answer(number, request, now);
                }
                Err(Refused) => {
                    connection.closes = true;
                    connection.queue(REFUSED, 0);
                }
            }
        }
    }

    fn answer(&mut self, number: u64, request: Request, now: u64) {
        let resource = Resource::parse(&request.target);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let Request { target, only_head, upgrades, .. } = request;
        if upgrades {
            self.counts.upgrades += 1;
            let early = std::mem::take(&mut connection.input);
            connection.echoes = true;
            connection.queue(UPGRADED, 0);
            return connection.queue(&early, 0);
        }
        match resource {
            None => connection.queue(MISSING, 0),
            Some(Resource::Counts) => {
                (self.counts.served_most, self.counts.waiting_most) =
                    (self.places.taken_most, self.places.waiting_most);
                let body = serde_json::to_string(&self.counts).unwrap_or_default();
                let kind = "Content-Type: application/json\r\nCache-Control: no-store";
                connection.queue(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{kind}\r\n\r\n{body}", body.len()).as_bytes(),
                    0,
                );
            }
            Some(Resource::Document(document)) => {
                self.counts.asked(&target);
                match self.places.ask(number) {
                    Admission::TurnedAway => return connection.queue(BUSY, 0),
                    Admission::Served => self.due.push(Reverse((due(now, self.delay + document.delay), number))),
                    Admission::Waits => {}
                }
                connection.busy = true;
                self.jobs.insert(number, Job { target, document, only_head, left: None });
            }
        }
    }

    /// Does what is due at `now`.
    fn work(&mut self, now: u64) {
        while let Some(Reverse((when, number))) = self.due.peek().copied()
            && when <= now
        {
            self.due.pop();
            if let Some(again) = self.send(number) {
                self.due.push(Reverse((due(now, again), number)));
                continue;
            }
            let Server { connections, jobs, .. } = self;
            jobs.remove(&number);
            let next = self.places.give_back(|waiting| !connections.contains_key(waiting));
            if let Some(document) = next.and_then(|next| Some(&self.jobs.get(&next)?.document)) {
                self.due.push(Reverse((due(now, self.delay + document.delay), next.unwrap_or_default())));
            }
            self.proceed(number, now);
        }
    }

    /// Queues the next piece of a connection's document; says after which time there is another.
    fn send(&mut self, number: u64) -> Option<Duration> {
        let job = self.jobs.get_mut(&number)?;
        let connection = self.connections.get_mut(&number)?;
        let Document { size, spread, cache_control, .. } = &job.document;
        let body = if job.only_head { 0 } else { *size };
        let left = match job.left {
            Some(left) => left,
            None => {
                let close = if connection.closes { "Connection: close\r\n" } else { "" };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\
                     Cache-Control: {cache_control}\r\n{close}\r\n"
                );
                connection.queue(head.as_bytes(), 0);
                if body > 0 {
                    self.counts.begins(&job.target, clock::now());
                }
                body
            }
        };
        let piece = if spread.is_zero() { left } else { left.min(body.div_ceil(PIECES)) };
        connection.queue(&[], piece);
        job.left = Some(left - piece);
        if left > piece {
            let pause = *spread / PIECES as u32;
            self.proceed(number, clock::now());
            return Some(pause);
        }
        connection.busy = false;
        None
    }
}

fn due(now: u64, delay: Duration) -> u64 {
    now.saturating_add(delay.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;

    fn start(places: Option<usize>, delay: Duration) -> SocketAddr {
        let server = Server::listen("127.0.0.1:0".parse().unwrap(), places, delay).unwrap();
        let address = server.address().unwrap();
        // It ends with the tests.
        thread::spawn(move || server.run());
        address
    }

    fn exchange(address: SocketAddr, request: &str) -> String {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn documents_are_answered_counted_and_say_who_may_keep_them() {
        let address = start(None, Duration::ZERO);
        let last = "GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n";
        let answer = exchange(
            address,
            &format!(
                "GET /fixed/3?cc=no-store HTTP/1.1\r\n\r\nHEAD /fixed/5 HTTP/1.1\r\n\r\nGET /slow/1/100?spread=2 HTTP/1.1\r\n\r\n{last}"
            ),
        );
        let parts: Vec<_> = answer.split("HTTP/1.1 ").skip(1).collect();
        assert!(parts[0].contains("Cache-Control: no-store\r\n") && parts[0].ends_with("\r\n\r\nxxx"), "{answer}");
        assert!(parts[1].contains("Content-Length: 5\r\n") && parts[1].ends_with("\r\n\r\n"), "{answer}");
        assert!(parts[2].ends_with(&format!("\r\n\r\n{}", "x".repeat(100))), "{answer}");
        assert!(parts[3].starts_with("404 ") && parts.len() == 4, "{answer}");
        let counts = Counts::ask(address).unwrap();
        assert_eq!((counts.requests, counts.connections, counts.targets.len()), (3, 2, 3));
        assert!(counts.targets["/slow/1/100?spread=2"].first_octet.is_some());
    }

    #[test]
    fn a_large_document_arrives_whole() {
        let address = start(None, Duration::ZERO);
        let answer = exchange(address, "GET /fixed/5000000 HTTP/1.0\r\n\r\n");
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 5_000_000);
    }

    #[test]
    fn an_upgraded_connection_gives_octets_back() {
        let address = start(None, Duration::ZERO);
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nabc").unwrap();
        let expected = [UPGRADED, b"abc"].concat();
        let mut answer = vec![0; expected.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, expected);
    }

    #[test]
    fn beyond_its_capacity_requests_wait_their_turn() {
        let address = start(Some(1), Duration::from_millis(5));
        let request = "GET /fixed/1 HTTP/1.1\r\nConnection: close\r\n\r\n";
        let clients: Vec<_> = (0..4).map(|_| thread::spawn(move || exchange(address, request))).collect();
        for client in clients {
            assert!(client.join().unwrap().ends_with("\r\n\r\nx"));
        }
        assert_eq!(Counts::ask(address).unwrap().served_most, 1);
    }

    #[test]
    fn what_is_no_request_ends_the_connection() {
        let address = start(None, Duration::ZERO);
        assert_eq!(exchange(address, "POST / HTTP/1.1\r\n\r\n").as_bytes(), REFUSED);
    }
}
