//! `afpa purge`, against a running server in front of a backend; and what that server tells of both.

mod free_address;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use free_address::free_address;
use serde_json::Value;

/// How often each target was asked for.
type Asked = Arc<Mutex<HashMap<String, usize>>>;

/// Answers that tell how often they were asked for. What starts with `/news` has surrogate keys, and varies.
fn backend() -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Asked::default());
    let shared = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let asked = shared.clone();
            thread::spawn(move || converse(&stream, &asked));
        }
    });
    (address, asked)
}

fn converse(mut stream: &TcpStream, asked: &Asked) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let count = {
            let mut asked = asked.lock().unwrap();
            let count = asked.entry(target.clone()).or_default();
            *count += 1;
            *count
        };
        let is_validated = head.iter().any(|line| line.to_ascii_lowercase().starts_with("if-none-match:"));
        let news = if target.starts_with("/news") { "Vary: X-Kind\r\nSurrogate-Key: news all-news\r\n" } else { "" };
        let fields = format!("Cache-Control: max-age=3600\r\nETag: \"1\"\r\nX-Path: {target}\r\n{news}");
        let body = format!("{target} {count}");
        let answer = match is_validated {
            true => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
            false => format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()),
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A server that is killed at the end of the test.
struct Server {
    child: Child,
    address: SocketAddr,
    admin: String,
    asked: Asked,
    backend: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// In front of a backend, with more lines of configuration for `[accelerate]`.
    fn start(accelerate: &str) -> Server {
        let (backend, asked) = backend();
        let admin = free_address().to_string();
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("afpa.toml");
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"{admin}\"\n[accelerate]\n{accelerate}\n\
             [[pools]]\nname = \"app\"\nbackends = [{{ address = \"{backend}\", weight = 3 }}]\n\
             [[sites]]\nhosts = [\"*\"]\nroutes = [{{ path-prefix = \"/\", pool = \"app\", key = {{ query-without = [\"utm\"] }} }}]\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
        command.args(["run", "--config", config.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_once("http://").unwrap_or_else(|| panic!("{line}")).1;
        let address = address.split(' ').next().unwrap().parse().unwrap();
        Server { child, address, admin, asked, backend }
    }

    /// The body that a client gets who asks at this host.
    fn get(&self, host: &str, target: &str, fields: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
        let answer = ask(self.address, &request);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Waits until what came is kept. A worker does it behind the answer, and what a purge overtakes is not kept.
    fn settle(&self) {
        let begun = Instant::now();
        while self.stats()["relay"]["flights"].as_u64().is_some_and(|flights| flights > 0) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", self.stats()["relay"]);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs `afpa purge ARGUMENTS`: exit status, and what it says.
    fn purge(&self, arguments: &[&str]) -> (i32, String) {
        self.settle();
        let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
        let output = command.args(["purge", "--admin", &self.admin]).args(arguments).env_remove("AFPA_PURGE_TOKEN");
        said(output)
    }

    fn stats(&self) -> Value {
        let request = format!("GET /api/stats HTTP/1.0\r\nHost: {}\r\n\r\n", self.admin);
        let answer = ask(self.admin.parse().unwrap(), &request);
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn metrics(&self) -> String {
        ask(self.admin.parse().unwrap(), &format!("GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", self.admin))
    }
}

fn said(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn ask(address: SocketAddr, request: &str) -> String {
    let begun = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(address) {
            // The admin server listens a moment after the line is printed.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && begun.elapsed() < Duration::from_secs(30) => {
                thread::sleep(Duration::from_millis(5));
            }
            connected => break connected.unwrap(),
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn the_next_request_sees_a_purge() {
    let server = Server::start("");
    let kinds = ["X-Kind: 1\r\n", "X-Kind: 2\r\n"];
    let get_all = || {
        let of_kinds = kinds.map(|kind| server.get("a.example", "/news?id=1&utm=x", kind));
        let [first, second] = of_kinds;
        let others = [("a.example", "/news?id=2"), ("b.example", "/news?id=1"), ("a.example", "/other")];
        let [third, fourth, fifth] = others.map(|(host, target)| server.get(host, target, ""));
        [first, second, third, fourth, fifth]
    };
    let mut before = get_all();
    assert_eq!(get_all(), before, "all are kept");
    for (arguments, gone, expected) in [
        (&["http://a.example/news?id=1"][..], [true, true, false, false, false], "gone from the next request on"),
        (&["http://A.example:80/news?utm=y&id=1"], [true, true, false, false, false], "gone"),
        (&["/news?id=1"], [true, true, false, true, false], "/news?id=1: gone"),
        (&["http://a.example/news"], [false; 5], "gone"),
        (&["http://a.example/other", "/nothing"], [false, false, false, false, true], "/nothing: gone"),
        (&["--prefix", "http://a.example/ne"], [true, true, true, false, false], "http://a.example/ne*: gone"),
        (&["--prefix", "/"], [true; 5], "/*: gone"),
        (&["--surrogate-key", "all-news"], [true, true, true, true, false], "surrogate key all-news: gone"),
        (&["--field", "x-path=/other"], [false, false, false, false, true], "x-path: /other: gone"),
        (&["--all"], [true; 5], "everything: gone"),
    ] {
        let (code, text) = server.purge(arguments);
        assert!(code == 0 && text.contains(expected), "{arguments:?}: {code} {text}");
        let after = get_all();
        let changed: Vec<_> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
        assert_eq!(changed, gone, "{arguments:?}: {before:?} {after:?}");
        before = after;
    }
}

#[test]
fn a_soft_purge_has_it_validated() {
    let server = Server::start("");
    assert_eq!(server.get("h", "/a", ""), "/a 1");
    let (code, text) = server.purge(&["--soft", "http://h/a"]);
    assert_eq!((code, &*text), (0, "http://h/a: out of date from the next request on\n"));
    assert_eq!(server.get("h", "/a", ""), "/a 1", "what the backend says is still good");
    assert_eq!(server.asked.lock().unwrap()["/a"], 2, "it was asked");
    assert_eq!(server.get("h", "/a", ""), "/a 1");
    assert_eq!(server.asked.lock().unwrap()["/a"], 2, "and is not again");
}

#[test]
fn what_nobody_asks_for_is_swept_up() {
    let server = Server::start("");
    (0..50).for_each(|number| _ = server.get("h", &format!("/{number}"), ""));
    server.settle();
    assert_eq!(server.stats()["cache"]["objects"], 50);
    assert_eq!(server.purge(&["--prefix", "/"]).0, 0);
    let begun = Instant::now();
    while server.stats()["relay"]["swept_objects"] != 50 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", server.stats()["relay"]);
        thread::sleep(Duration::from_millis(20));
    }
    let stats = server.stats();
    assert_eq!((&stats["cache"]["objects"], &stats["relay"]["purges_unswept"]), (&0.into(), &0.into()));
    assert!(server.metrics().contains("\nafpa_relay_swept_objects_total 50\n"));
}

#[test]
fn who_has_not_the_token_purges_nothing() {
    let server = Server::start("purge-token = \"open-sesame-123456\"");
    assert_eq!(server.get("h", "/a", ""), "/a 1");
    for arguments in [&["--all"][..], &["--all", "--token", "open-sesame-123457"]] {
        let (code, text) = server.purge(arguments);
        assert!(code == 1 && text.contains("everything: a purge needs the token"), "{code} {text}");
    }
    assert_eq!(server.get("h", "/a", ""), "/a 1");
    assert_eq!(server.purge(&["--all", "--token", "open-sesame-123456"]).0, 0);
    assert_eq!(server.get("h", "/a", ""), "/a 2");
    let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
    command.args(["purge", "--all", "--admin", &server.admin]).env("AFPA_PURGE_TOKEN", "open-sesame-123456");
    assert_eq!(said(&mut command), (0, "everything: gone from the next request on\n".into()));
    assert_eq!(server.get("h", "/a", ""), "/a 3");
}

#[test]
fn what_cannot_be_done_is_said() {
    let server = Server::start("");
    for (arguments, status, expected) in [
        (&["ftp://h/"][..], 1, "ftp://h/: \"ftp://h/\" must be an http URL"),
        (&["/a/../b"], 1, "must have no empty segment"),
        (&["--surrogate-key", "a b"], 1, "is no surrogate key"),
        (&[], 2, "required"),
        (&["--all", "/a"], 2, "cannot be used with"),
        (&["--field", "a"], 2, "Content-Type=text/css"),
    ] {
        let (code, text) = server.purge(arguments);
        assert!(code == status && text.contains(expected), "{arguments:?}: {code} {text}");
    }
    let nobody = free_address().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
    let (code, text) = said(command.args(["purge", "--all", "--admin", &nobody]));
    assert!(code == 1 && text.contains("no server answers at"), "{code} {text}");
}

#[test]
fn files_are_looked_at_again() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("a"), "a").unwrap();
    let admin = free_address().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
    command.args(["serve", site.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "--admin", &admin]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split_once("http://").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    let (asked, backend) = (Asked::default(), address);
    let server = Server { child, address, admin, asked, backend };
    for (arguments, expected) in [
        (&["http://any.example/a"][..], "http://any.example/a: 1 object taken out\n"),
        (&["--soft", "--prefix", "/"], "/*: 1 object taken out\n"),
        (&["--surrogate-key", "a"], "surrogate key a: 0 objects taken out\n"),
        (&["--all"], "everything: 1 object taken out\n"),
    ] {
        assert_eq!(server.get("h", "/a", ""), "a");
        assert_eq!(server.get("h", "/a", ""), "a");
        assert_eq!(server.purge(arguments), (0, expected.into()));
    }
}

#[test]
fn what_other_servers_do_is_told() {
    let server = Server::start("");
    (0..400).for_each(|_| _ = server.get("h", "/often?a=1", ""));
    (0..20).for_each(|number| _ = server.get("h", &format!("/seldom/{number}"), ""));
    // A client has its answer a moment before the backend's connection is free.
    let begun = Instant::now();
    let stats = loop {
        let stats = server.stats();
        if stats["pools"][0]["backends"][0]["active"] == 0 || begun.elapsed() > Duration::from_secs(60) {
            break stats;
        }
    };
    let backend = &stats["pools"][0]["backends"][0];
    let address = server.backend.to_string();
    assert_eq!((&stats["pools"][0]["name"], &stats["pools"][0]["waiting"]), (&"app".into(), &0.into()));
    for (key, expected) in [
        ("name", Value::from(&*address)),
        ("address", address.clone().into()),
        ("healthy", true.into()),
        ("ejected", false.into()),
        ("draining", false.into()),
        ("weight", 3.into()),
        ("active", 0.into()),
        ("requests", 21.into()),
        ("failures", 0.into()),
        ("ejections", 0.into()),
    ] {
        assert_eq!(backend[key], expected, "{key}");
    }
    assert!(backend["latency_us"].as_f64().unwrap() > 0.0, "{backend}");
    for octets in ["sent_octets", "received_octets"] {
        assert!(backend[octets].as_u64().unwrap() > 1000, "{backend}");
    }
    assert_eq!(stats["top_keys"][0]["key"], "h/often?a=1");
    assert_eq!(stats["classes"].as_array().unwrap().len(), 0);
    let rows = stats["engines"].as_array().unwrap().iter().flat_map(|it| it["transitions"].as_array().unwrap());
    let sent = rows.filter(|row| row["module"] == "http-upstream" && row["outcome"] == "sent");
    assert_eq!(sent.map(|row| row["count"].as_u64().unwrap()).sum::<u64>(), 21);
    let metrics = server.metrics();
    let labels = format!("{{pool=\"app\",backend=\"{address}\"}}");
    for line in [
        format!("afpa_backend_requests_total{labels} 21"),
        format!("afpa_backend_healthy{labels} 1.0"),
        "afpa_pool_waiting{pool=\"app\"} 0.0".into(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\nnot in\n{metrics}");
    }
}
