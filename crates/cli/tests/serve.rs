//! A running server, from its first line to its exit status.

mod free_address;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use free_address::free_address;
use rustix::process::{Pid, Signal, kill_process};

/// A server that is killed if the test does not end it.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    line: String,
}

impl Server {
    /// Starts `afpa ARGUMENTS` and waits for its line.
    fn start(arguments: &[&str]) -> Server {
        Self::start_with(Command::new(env!("CARGO_BIN_EXE_afpa")).args(arguments))
    }

    fn start_with(command: &mut Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("no server: {said}");
        }
        Server { child, stdout, line }
    }

    fn address(&self) -> SocketAddr {
        let (_, rest) = self.line.split_once("http://").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Exit status, the rest of standard output, standard error.
    fn end(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap(), out, err)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request on a connection that is used once; returns all of the answer.
fn ask(mut connection: impl Read + Write, request: &str) -> String {
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\nConnection: close\r\n\r\n");
    ask(TcpStream::connect(address).unwrap(), &request)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// Waits for something that happens soon, on any machine.
fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < patience, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "<p>first").unwrap();
    dir
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn one_line_says_what_is_served_and_sigterm_ends_it_in_order() {
    let dir = site();
    let server =
        Server::start(&["serve", name(dir.path()), "--listen", "127.0.0.1:0", "--io", "epoll", "--cache", "8MiB"]);
    let address = server.address();
    let start = format!("serving {} on http://{address} with ", dir.path().display());
    assert!(server.line.starts_with(&start), "{}", server.line);
    assert!(server.line.ends_with(" through epoll, cache 8 MiB\n"), "{}", server.line);
    let answer = get(address, "/");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(body(&answer), "<p>first");
    server.signal(Signal::TERM);
    let (status, out, err) = server.end();
    assert_eq!((status.code(), out.as_str()), (Some(0), ""), "{err}");
}

#[test]
fn a_unix_socket_is_served_and_removed_at_the_end() {
    let dir = site();
    let sockets = tempfile::tempdir().unwrap();
    let path = sockets.path().join("afpa.sock");
    let server = Server::start(&["serve", name(dir.path()), "--listen", &format!("unix:{}", path.display())]);
    let answer = ask(UnixStream::connect(&path).unwrap(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(body(&answer), "<p>first");
    server.signal(Signal::INT);
    assert_eq!(server.end().0.code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_socket_of_the_service_manager_takes_the_place_of_listen() {
    let dir = site();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The manager would pass descriptor 3; a test can pass standard input.
    let passed = std::os::fd::OwnedFd::from(listener);
    let server = Server::start_with(
        Command::new(env!("CARGO_BIN_EXE_afpa"))
            .args(["serve", name(dir.path())])
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDS_FIRST_FD", "0")
            .stdin(passed),
    );
    assert_eq!(server.address(), address);
    assert_eq!(body(&get(address, "/")), "<p>first");
    server.signal(Signal::TERM);
    assert_eq!(server.end().0.code(), Some(0));
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let dir = site();
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let server = Server::start_with(
        Command::new(env!("CARGO_BIN_EXE_afpa"))
            .args(["serve", name(dir.path()), "--listen", "127.0.0.1:0"])
            .env("NOTIFY_SOCKET", &path),
    );
    let told = || {
        let mut message = [0; 4096];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let ready = told();
    assert!(ready.contains("READY=1\n") && ready.contains(&format!("STATUS={}", server.line.trim_end())), "{ready}");
    server.signal(Signal::HUP);
    let reloading = told();
    assert!(reloading.contains("RELOADING=1\n") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(told().contains("READY=1\n"));
    server.signal(Signal::TERM);
    assert!(told().contains("STOPPING=1\n"));
    assert_eq!(server.end().0.code(), Some(0));
}

#[test]
fn a_port_in_use_is_one_sentence_with_the_remedy() {
    let dir = site();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_afpa"))
        .args(["serve", name(dir.path()), "--listen", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("cannot listen to {address}: another program listens there; stop it")), "{said}");
}

#[test]
fn the_access_log_tells_of_each_request() {
    let dir = site();
    let server = Server::start(&[
        "serve",
        name(dir.path()),
        "--listen",
        "127.0.0.1:0",
        "--cores",
        &first_cpu(),
        "--log",
        "text",
    ]);
    get(server.address(), "/");
    get(server.address(), "/missing?q=%22");
    server.signal(Signal::TERM);
    let (_, log, _) = server.end();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(
        lines[0].starts_with("127.0.0.1 - - [") && lines[0].ends_with("\"GET / HTTP/1.1\" 200 8 \"-\" \"test\""),
        "{log}"
    );
    assert!(lines[1].contains("\"GET /missing?q=%22 HTTP/1.1\" 404 "), "{log}");
}

#[test]
fn the_log_file_is_opened_again_on_sigusr1() {
    let (dir, logs) = (site(), tempfile::tempdir().unwrap());
    let (path, moved) = (logs.path().join("access.log"), logs.path().join("access.log.1"));
    let server = Server::start(&[
        "serve",
        name(dir.path()),
        "--listen",
        "127.0.0.1:0",
        "--log",
        "json",
        "--log-file",
        name(&path),
    ]);
    get(server.address(), "/old");
    let lines = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    eventually("the first line", || lines(&path) == 1);
    std::fs::rename(&path, &moved).unwrap();
    server.signal(Signal::USR1);
    eventually("a new file", || path.exists());
    get(server.address(), "/new");
    eventually("the second line", || lines(&path) == 1);
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((&line["target"], &line["status"]), (&"/new".into(), &404.into()));
    assert_eq!(lines(&moved), 1);
}

#[test]
fn a_reload_takes_a_good_configuration_and_refuses_a_bad_one() {
    let (old, new, etc) = (site(), site(), tempfile::tempdir().unwrap());
    std::fs::write(new.path().join("index.html"), "<p>second").unwrap();
    let file = etc.path().join("afpa.toml");
    let write = |root: &Path, more: &str| {
        std::fs::write(&file, format!("listen = '127.0.0.1:0'\n[site]\nroot = {root:?}\n{more}")).unwrap();
    };
    write(old.path(), "");
    let server = Server::start(&["run", "--config", name(&file)]);
    let address = server.address();
    assert_eq!(body(&get(address, "/")), "<p>first");

    let mut kept = TcpStream::connect(address).unwrap();
    write(new.path(), "listing = 'yes'\n");
    server.signal(Signal::HUP);
    write(new.path(), "");
    // The connection from before the bad configuration is still served, from the old site or the new.
    kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut status = [0; 15];
    kept.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");

    server.signal(Signal::HUP);
    eventually("the new site", || body(&get(address, "/")) == "<p>second");
    server.signal(Signal::TERM);
    let (status, _, err) = server.end();
    assert_eq!(status.code(), Some(0), "{err}");
}

#[test]
fn a_bad_configuration_is_refused_with_every_error_and_the_old_one_stays() {
    let (dir, etc) = (site(), tempfile::tempdir().unwrap());
    let file = etc.path().join("afpa.toml");
    std::fs::write(&file, format!("listen = '127.0.0.1:0'\n[site]\nroot = {:?}\n", dir.path())).unwrap();
    let mut server = Server::start(&["run", "--config", name(&file)]);
    std::fs::write(&file, "[site]\nroot = '/nonexistent'\nlisting = 'yes'\n").unwrap();
    server.signal(Signal::HUP);
    let mut said = String::new();
    let mut stderr = BufReader::new(server.child.stderr.take().unwrap());
    while !said.contains("is refused") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert!(said.contains(":2:8: site.root: /nonexistent cannot be opened"), "{said}");
    assert!(said.contains(":3:11: site.listing: expected true or false, found the string \"yes\""), "{said}");
    assert_eq!(body(&get(server.address(), "/")), "<p>first");
}

#[test]
fn the_admin_server_counts_and_purges() {
    let dir = site();
    let admin = free_address().to_string();
    let server = Server::start(&["serve", name(dir.path()), "--listen", "127.0.0.1:0", "--admin", &admin]);
    for _ in 0..3 {
        get(server.address(), "/index.html");
    }
    let admin: SocketAddr = admin.parse().unwrap();
    let ask_admin = |request: &str| ask(TcpStream::connect(admin).unwrap(), request);
    let health = ask_admin("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(body(&health), "ok\n");
    let stats = ask_admin("GET /api/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let stats: serde_json::Value = serde_json::from_str(body(&stats)).unwrap();
    let answered: u64 =
        stats["engines"].as_array().unwrap().iter().map(|e| e["responses"][0]["count"].as_u64().unwrap_or(0)).sum();
    assert_eq!(answered, 3);
    let purge = |json: &str| {
        let length = json.len();
        ask_admin(&format!(
            "POST /api/cache/purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{json}"
        ))
    };
    assert_eq!(body(&purge(r#"{"url": "/index.html"}"#)), "{\"purged\":1}\n");
    assert_eq!(body(&purge(r#"{"all": true}"#)), "{\"purged\":0}\n");
    let metrics = ask_admin("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(metrics.contains("state=\"derive cached response\",outcome=\"miss\""), "{metrics}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = site();
    let big = dir.path().join("big");
    std::fs::File::create(&big).unwrap().set_len(64 << 20).unwrap();
    let server = Server::start(&["serve", name(dir.path()), "--listen", "127.0.0.1:0", "--grace-period", "1h"]);
    // A request in flight that nobody reads: it would take the whole grace period.
    let mut slow = TcpStream::connect(server.address()).unwrap();
    slow.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    slow.read_exact(&mut [0; 15]).unwrap();
    server.signal(Signal::TERM);
    // A new connection is refused once the first signal was obeyed.
    let address = server.address();
    eventually("refusing", || TcpStream::connect(address).is_err());
    server.signal(Signal::TERM);
    let (status, _, err) = server.end();
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("ended at once by a second signal"), "{err}");
}

fn first_cpu() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split([',', '-']).next().unwrap().to_owned()
}
