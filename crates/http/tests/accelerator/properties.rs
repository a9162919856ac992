//! Whatever clients and backends do, in whatever order: a request gets one whole answer that is its own, or its connection
//! ends.

use std::collections::HashMap;

use afpa_engine::memory::MemoryConfig;
use proptest::prelude::*;

use crate::bench::{Backend, Client, SECOND, Server, Setup, read_responses};

/// What somebody does. Numbers choose among those who can do it.
#[derive(Debug, Clone)]
enum Step {
    /// A client connects.
    Connect,
    /// A client asks.
    Ask {
        client: usize,
        kind: u8,
        path: u8,
        length: u16,
    },
    /// It sends so much of what it has to send.
    Send {
        client: usize,
        octets: u16,
    },
    Read {
        client: usize,
        octets: u16,
    },
    Leave {
        client: usize,
        resets: bool,
    },
    /// A backend answers the next request on a connection.
    Answer {
        backend: usize,
        kind: u8,
        length: u16,
    },
    SendAnswer {
        backend: usize,
        octets: u16,
    },
    /// A backend's connection ends.
    Cut {
        backend: usize,
        resets: bool,
    },
    Pass,
    Wait {
        tenths: u8,
    },
    Reload {
        backends: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (who, length) = (0usize..64, prop_oneof![0u16..20, 0u16..3000, 0u16..50_000]);
    prop_oneof![
        2 => Just(Step::Connect),
        6 => (who.clone(), 0u8..6, 0u8..4, length.clone())
            .prop_map(|(client, kind, path, length)| Step::Ask { client, kind, path, length }),
        6 => (who.clone(), 1u16..60_000).prop_map(|(client, octets)| Step::Send { client, octets }),
        4 => (who.clone(), 1u16..60_000).prop_map(|(client, octets)| Step::Read { client, octets }),
        1 => (who.clone(), any::<bool>()).prop_map(|(client, resets)| Step::Leave { client, resets }),
        6 => (who.clone(), 0u8..12, length).prop_map(|(backend, kind, length)| Step::Answer { backend, kind, length }),
        8 => (who.clone(), 1u16..60_000).prop_map(|(backend, octets)| Step::SendAnswer { backend, octets }),
        1 => (who, any::<bool>()).prop_map(|(backend, resets)| Step::Cut { backend, resets }),
        8 => Just(Step::Pass),
        1 => (1u8..100).prop_map(|tenths| Step::Wait { tenths }),
        1 => (1u8..4).prop_map(|backends| Step::Reload { backends }),
    ]
}

/// A client, what it has not sent yet, and what it asked, in order.
struct Asking {
    client: Client,
    to_send: Vec<u8>,
    asked: Vec<u8>,
    has_left: bool,
}

struct Answering {
    backend: Backend,
    to_send: Vec<u8>,
    is_cut: bool,
}

/// Everything that goes on.
struct World {
    server: Server,
    clients: Vec<Asking>,
    backends: Vec<Answering>,
    /// Bodies of whole answers that backends gave, by path: none other may come out.
    given: HashMap<u8, Vec<Vec<u8>>>,
    serial: usize,
}

/// A body that says for which path it is, and which answer it is.
fn body(path: u8, serial: usize, length: u16) -> Vec<u8> {
    let mark = format!("<{path}:{serial}>");
    mark.bytes().cycle().take(mark.len() + usize::from(length)).collect()
}

impl World {
    fn new(window: usize) -> World {
        let network = MemoryConfig { frame: 20_000, window, send_buffer: 2 * window, ..MemoryConfig::default() };
        let setup = Setup { network, backends: 2, max_connections: 3, pending: 4, ..Setup::default() };
        let server = Server::new(setup);
        World { server, clients: Vec::new(), backends: Vec::new(), given: HashMap::new(), serial: 0 }
    }

    fn take(&mut self, step: &Step) {
        while let Some(backend) = self.server.accept() {
            self.backends.push(Answering { backend, to_send: Vec::new(), is_cut: false });
        }
        match *step {
            Step::Connect => {
                let client = self.server.connect();
                self.clients.push(Asking { client, to_send: Vec::new(), asked: Vec::new(), has_left: false });
            }
            Step::Ask { client, kind, path, length } => {
                let Some(asking) = pick(&mut self.clients, client) else { return };
                asking.to_send.extend(asks(kind, path, length));
                asking.asked.push(path);
            }
            Step::Send { client, octets } => {
                let Some(asking) = pick(&mut self.clients, client).filter(|asking| !asking.has_left) else { return };
                let count = usize::from(octets).min(asking.to_send.len());
                asking.client.send(asking.to_send.drain(..count).collect::<Vec<_>>());
            }
            Step::Read { client, octets } => {
                let Some(asking) = pick(&mut self.clients, client) else { return };
                let read = asking.client.peer.read(usize::from(octets));
                asking.client.read.extend(read);
            }
            Step::Leave { client, resets } => {
                let Some(asking) = pick(&mut self.clients, client) else { return };
                asking.has_left = true;
                if resets { asking.client.peer.reset() } else { asking.client.peer.finish() }
            }
            Step::Answer { backend, kind, length } => self.answer(backend, kind, length),
            Step::SendAnswer { backend, octets } => {
                let Some(answering) = pick(&mut self.backends, backend).filter(|it| !it.is_cut) else { return };
                let count = usize::from(octets).min(answering.to_send.len());
                answering.backend.send(answering.to_send.drain(..count).collect::<Vec<_>>());
            }
            Step::Cut { backend, resets } => {
                let Some(answering) = pick(&mut self.backends, backend) else { return };
                answering.is_cut = true;
                if resets { answering.backend.peer.reset() } else { answering.backend.peer.finish() }
            }
            Step::Pass => self.server.pass(),
            Step::Wait { tenths } => self.server.advance(SECOND * u32::from(tenths) / 10),
            Step::Reload { backends } => {
                self.server.reload(&Setup { backends, max_connections: 3, pending: 4, ..Setup::default() });
            }
        }
        self.server.pass();
    }

    /// The next whole request on a connection gets an answer; its path is in its head.
    fn answer(&mut self, backend: usize, kind: u8, length: u16) {
        let Some(answering) = pick(&mut self.backends, backend) else { return };
        // Of bodies only points, sizes and line ends come, which no request starts with.
        let head = loop {
            let Some(text) = answering.backend.try_request() else { return };
            let starts = ["GET /", "PUT /", "POST /"].iter().filter_map(|start| text.find(start));
            if let Some(start) = starts.min() {
                break text[start..].to_owned();
            }
        };
        let path = head.split(' ').nth(1).and_then(|path| path.get(1..)?.parse::<u8>().ok()).expect("a path of ours");
        self.serial += 1;
        let body = body(path, self.serial, length);
        answering.to_send.extend(answers(kind, &body));
        self.given.entry(path).or_default().push(body);
    }

    /// Lets everybody finish, and looks at what came.
    fn judge(mut self) {
        for _ in 0..40 {
            self.server.settle();
            while let Some(backend) = self.server.accept() {
                self.backends.push(Answering { backend, to_send: Vec::new(), is_cut: false });
            }
            for at in 0..self.backends.len() {
                self.answer(at, 0, 10);
                let answering = &mut self.backends[at];
                answering.backend.send(std::mem::take(&mut answering.to_send));
            }
            for asking in &mut self.clients {
                if !asking.has_left {
                    asking.client.send(std::mem::take(&mut asking.to_send));
                }
                asking.client.octets();
            }
        }
        self.server.advance(150 * SECOND);
        self.clients.iter_mut().for_each(|asking| _ = asking.client.octets());
        for asking in &self.clients {
            let (mut whole, rest) = read_responses(&asking.client.read);
            if whole.len() > asking.asked.len() && whole.last().is_some_and(|last| last.status == 408) {
                // For a request that never came.
                whole.pop();
            }
            assert!(whole.len() <= asking.asked.len(), "more answers than requests");
            for (response, path) in whole.iter().zip(&asking.asked) {
                let is_ours = matches!(response.status, 400 | 408 | 502 | 503 | 504);
                let is_given = || self.given.get(path).is_some_and(|given| given.contains(&response.body));
                assert!(is_ours || is_given(), "for /{path}: {response:?}");
            }
            if let (false, Some(path)) = (rest.is_empty(), asking.asked.get(whole.len())) {
                self.assert_is_a_part(rest, *path);
            }
        }
        self.clients.iter().for_each(|asking| asking.client.peer.reset());
        // What is closed waits for its peer to take the rest, and that is the transport's to end.
        self.backends.iter().for_each(|answering| answering.backend.peer.reset());
        self.server.assert_it_comes_to_rest("a script");
    }
}

impl World {
    /// What was cut off is the start of an answer to its own request.
    fn assert_is_a_part(&self, octets: &[u8], path: u8) {
        let Some(end) = octets.windows(4).position(|window| window == b"\r\n\r\n") else { return };
        let text = String::from_utf8_lossy(&octets[end + 4..]).into_owned();
        let marks = text.split('<').skip(1).filter_map(|mark| mark.split_once(':'));
        // Others are cut by a chunk's end.
        for mark in marks.filter(|mark| mark.0.len() == 1) {
            assert_eq!(mark.0, path.to_string(), "another's octets: {text}");
        }
    }
}

fn pick<T>(list: &mut [T], number: usize) -> Option<&mut T> {
    let length = list.len();
    list.get_mut(number.checked_rem(length)?)
}

fn asks(kind: u8, path: u8, length: u16) -> Vec<u8> {
    let body = vec![b'.'; usize::from(length)];
    match kind {
        0..=2 => format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
        3 => format!("GET /{path} HTTP/1.1\r\nHost: a\r\nCache-Control: no-cache\r\n\r\n").into_bytes(),
        4 => {
            let head = format!("PUT /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            [head.as_bytes(), &body].concat()
        }
        _ => {
            let head = format!("POST /{path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            let size = format!("{:x}\r\n", body.len());
            let (size, end): (&[u8], &[u8]) = if body.is_empty() { (b"", b"") } else { (size.as_bytes(), b"\r\n") };
            [head.as_bytes(), size, &body, end, b"0\r\n\r\n"].concat()
        }
    }
}

/// Whole answers, and some that are none.
fn answers(kind: u8, body: &[u8]) -> Vec<u8> {
    let counted = |fields: &str| {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let chunked = |fields: &str| {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
        let (one, other) = body.split_at(body.len() / 2);
        let (first, second) = (format!("{:x}\r\n", one.len()), format!("\r\n{:x}\r\n", other.len()));
        let body = [first.as_bytes(), one, second.as_bytes(), other, b"\r\n0\r\n\r\n"].concat();
        [head.as_bytes(), &body].concat()
    };
    match kind {
        0 | 1 => counted("Cache-Control: max-age=5\r\nETag: \"x\"\r\n"),
        2 => counted("Cache-Control: private\r\n"),
        3 => counted("Cache-Control: max-age=5\r\nVary: Cache-Control\r\n"),
        4 => counted("Connection: close\r\nCache-Control: no-store\r\n"),
        5 => chunked("Cache-Control: max-age=1, stale-while-revalidate=60\r\n"),
        6 => chunked("Cache-Control: private\r\n"),
        7 => [b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), counted("Cache-Control: max-age=60\r\n")].concat(),
        8 => [counted("Cache-Control: max-age=60\r\n"), b"behind".to_vec()].concat(),
        9 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n".to_vec(),
        10 => b"nonsense\r\n\r\n".to_vec(),
        _ => {
            let head = format!("HTTP/1.1 503 No\r\nContent-Length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn a_request_gets_an_answer_of_its_own_or_its_connection_ends(
        window in prop_oneof![Just(500usize), Just(5_000), Just(1 << 20)],
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(window);
        world.take(&Step::Connect);
        for step in &steps {
            world.take(step);
        }
        world.judge();
    }
}
