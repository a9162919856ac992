//! Quality of service as clients see it, in front of a backend that answers one request at a time, and only when it is
//! told to.

mod free_address;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use free_address::free_address;
use rustix::process::{Pid, Signal, kill_process};

/// A server behind a configuration, killed when the test is over.
struct Server {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    file: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

/// A backend: what it was asked, and the leave to answer once.
struct Backend {
    address: SocketAddr,
    asked: Receiver<String>,
    leave: Sender<()>,
}

impl Backend {
    fn start() -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = channel();
        let (leave, may) = channel::<()>();
        let may = Arc::new(Mutex::new(may));
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (told, may) = (told.clone(), may.clone());
                std::thread::spawn(move || answer(connection, &told, &may));
            }
        });
        Backend { address, asked, leave }
    }

    /// The path of the next request.
    fn asked(&self) -> String {
        self.asked.recv_timeout(Duration::from_secs(30)).expect("a request")
    }

    fn answer(&self) {
        self.leave.send(()).unwrap();
    }

    /// The paths of the next requests, each answered before the next.
    fn serve(&self, count: usize) -> Vec<String> {
        let serve = |_| {
            let path = self.asked();
            self.answer();
            path
        };
        (0..count).map(serve).collect()
    }
}

/// Reads requests without bodies, and answers each when it may.
fn answer(mut connection: TcpStream, told: &Sender<String>, may: &Mutex<Receiver<()>>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap().to_owned();
        while line.trim_end() != "" {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
        }
        if told.send(path).is_err() || may.lock().unwrap().recv().is_err() {
            return;
        }
        let response = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok";
        if connection.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

impl Server {
    fn start(backend: &Backend, text: &str) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("afpa.toml");
        let admin = free_address();
        std::fs::write(&file, config(backend, admin, text)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
        command.args(["run", "--config", file.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        Server { child, address: address.expect("a server"), admin, file, _dir: dir }
    }

    fn reload(&self, backend: &Backend, text: &str) {
        std::fs::write(&self.file, config(backend, self.admin, text)).unwrap();
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    /// Sends a request on a connection of its own.
    fn ask(&self, path: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        connection
    }

    /// How often requests have had to wait for their turn.
    fn waited(&self) -> u64 {
        let mut connection = TcpStream::connect(self.admin).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).unwrap();
        let waits = |line: &&str| line.contains("state=\"await turn\",outcome=\"waits\"");
        text.lines().filter(waits).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Asks for these, and returns when all of them wait.
    fn ask_and_wait(&self, paths: &[String]) -> Vec<TcpStream> {
        let before = self.waited();
        let connections = paths.iter().map(|path| self.ask(path)).collect();
        eventually("they wait", || self.waited() >= before + paths.len() as u64);
        connections
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One engine, so that there is one order.
fn config(backend: &Backend, admin: SocketAddr, text: &str) -> String {
    let may = rustix::thread::sched_getaffinity(None).unwrap();
    let cpu = (0..1024).find(|&cpu| may.is_set(cpu)).unwrap();
    let classes: String = [("gold", 6, 1), ("silver", 3, 3), ("bronze", 3, 1)].iter().fold(
        String::new(),
        |mut text, (name, priority, weight)| {
            let _ = write!(
                text,
                "[[classes]]\nname = '{name}'\npriority = {priority}\nweight = {weight}\npath-prefix = '/{name}'\n\
                 queue-timeout = '60s'\n"
            );
            text
        },
    );
    format!(
        "listen = '127.0.0.1:0'\ncores = '{cpu}'\n[admin]\nlisten = '{admin}'\n[log]\nformat = 'off'\n\
         [[pools]]\nname = 'app'\nbackends = [{{ address = '{}' }}]\n\
         [[sites]]\nhosts = ['*']\n[[sites.routes]]\npool = 'app'\ncache = 'off'\n{classes}[overload]\n{text}\n",
        backend.address
    )
}

/// The status, and the seconds of Retry-After.
fn read(mut connection: TcpStream) -> (u16, Option<u64>) {
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"));
    let after = answer.lines().find_map(|line| line.strip_prefix("Retry-After: "));
    (status, after.map(|seconds| seconds.trim().parse().unwrap()))
}

fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < patience, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn gold_goes_first_and_the_others_by_weight() {
    let backend = Backend::start();
    let server = Server::start(&backend, "capacity = 1\ntarget-delay = '0s'");
    let mut clients = vec![server.ask("/first")];
    assert_eq!(backend.asked(), "/first");
    let others = (0..24).flat_map(|number| ["bronze", "silver"].map(|class| format!("/{class}/{number}")));
    clients.extend(server.ask_and_wait(&others.collect::<Vec<_>>()));
    clients.extend(server.ask_and_wait(&(0..4).map(|number| format!("/gold/{number}")).collect::<Vec<_>>()));
    backend.answer();
    let order = backend.serve(clients.len() - 1);
    assert!(order[..4].iter().all(|path| path.starts_with("/gold/")), "{order:?}");
    for end in [8, 16, 24, 32] {
        let silver = order[4..4 + end].iter().filter(|path| path.starts_with("/silver/")).count();
        assert!(silver.abs_diff(end * 3 / 4) <= 1, "{silver} of {end}: {order:?}");
    }
    assert!(clients.into_iter().all(|client| read(client) == (200, None)));
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let backend = Backend::start();
    let server = Server::start(&backend, "client-requests = 1");
    let clients: Vec<_> = (0..12).map(|number| server.ask(&format!("/gold/{number}"))).collect();
    // As many as were let through.
    for _ in 0..12 {
        backend.answer();
    }
    let answers: Vec<_> = clients.into_iter().map(read).collect();
    let refused = answers.iter().filter(|(status, _)| *status == 429).count();
    assert!(answers.iter().all(|answer| matches!(answer, (200, None) | (429, Some(1)))), "{answers:?}");
    assert!(answers.iter().filter(|(status, _)| *status == 200).count() >= 1 && refused >= 1, "{answers:?}");
}

#[test]
fn a_client_with_too_many_connections_loses_the_last() {
    let backend = Backend::start();
    let server = Server::start(&backend, "client-connections = 2");
    let clients = [server.ask("/gold/1"), server.ask("/gold/2")];
    assert_eq!([backend.asked(), backend.asked()].len(), 2);
    assert_eq!(read(server.ask("/gold/3")), (429, Some(1)));
    backend.answer();
    backend.answer();
    assert!(clients.into_iter().all(|client| read(client).0 == 200));
    // And then there is room again, as soon as the server has seen their ends.
    eventually("room", || {
        backend.answer();
        read(server.ask("/gold/4")).0 == 200
    });
}

#[test]
fn under_overload_the_lowest_are_refused_and_gold_is_answered() {
    let backend = Backend::start();
    let server = Server::start(&backend, "capacity = 1\ntarget-delay = '1ms'\ninterval = '10ms'");
    let mut clients = vec![server.ask("/first")];
    assert_eq!(backend.asked(), "/first");
    let mut waiting = server.ask_and_wait(&["/bronze/0".to_owned()]);
    // Of those that come now, more and more are refused.
    let mut refused = 0;
    eventually("bronze is refused", || {
        let before = server.waited();
        let mut client = server.ask("/bronze/more");
        let mut first = [0];
        client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        while server.waited() == before {
            if client.peek(&mut first).is_ok() {
                client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: "), "{answer}");
                refused += 1;
                return refused == 5;
            }
        }
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        waiting.push(client);
        false
    });
    clients.extend(server.ask_and_wait(&["/gold".to_owned()]));
    backend.answer();
    assert_eq!(backend.serve(1), ["/gold"]);
    assert!(clients.into_iter().all(|client| read(client) == (200, None)));
    let bronze = backend.serve(waiting.len());
    assert!(bronze.iter().all(|path| path.starts_with("/bronze/")), "{bronze:?}");
    assert!(waiting.into_iter().all(|client| read(client) == (200, None)), "who waits is not refused any more");
}

#[test]
fn a_reload_loses_nobody() {
    let backend = Backend::start();
    let server = Server::start(&backend, "capacity = 1\ntarget-delay = '0s'");
    let mut clients = vec![server.ask("/first")];
    assert_eq!(backend.asked(), "/first");
    clients.extend(server.ask_and_wait(&(0..10).map(|number| format!("/bronze/{number}")).collect::<Vec<_>>()));
    let before = server.waited();
    server.reload(&backend, "capacity = 2\ntarget-delay = '0s'");
    // One of them goes at once, since there is room for two now, and the others wait anew.
    let second = backend.asked();
    eventually("the others wait anew", || server.waited() >= before + 9);
    assert!(second.starts_with("/bronze/"), "{second}");
    backend.answer();
    backend.answer();
    assert_eq!(backend.serve(9).len(), 9);
    assert!(clients.into_iter().all(|client| read(client) == (200, None)));
}
