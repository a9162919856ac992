//! A real site, as an ordinary client sees it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use tempfile::TempDir;

use crate::client::{Client, request};
use crate::lab::{FRAMES, Lab};
use crate::pattern::{self, Comparison};
use crate::server::{Server, eventually};
use crate::tree::files;

/// Requests that a client writes ahead of the answers.
const PIPELINE: usize = 32;

#[test]
fn every_file_arrives_as_it_is() {
    let Some(lab) = Lab::cable("site") else { return };
    let site = Site::real();
    for frames in FRAMES {
        // The cache holds a sixth of the site: the rest is evicted while it is being sent.
        let server = Server::direct(&lab, &site.root, &["--frames", frames, "--cache", "16MiB"]);
        for (address, step) in [(lab.address(), 1)].into_iter().chain(lab.address_v6().map(|v6| (v6, 3))) {
            let files: Vec<_> = site.files.iter().step_by(step).collect();
            let mut client = Client::connect(&lab.client, address);
            for batch in files.chunks(PIPELINE) {
                let requests: String = batch.iter().map(|file| request(file, "")).collect();
                client.send(&requests);
                batch.iter().for_each(|file| site.compare(file, &mut client));
            }
        }
        server.has_connections(0);
    }
}

#[test]
fn a_connection_for_each_file() {
    let Some(lab) = Lab::cable("each") else { return };
    let site = Site::real();
    let fetch = |address, file: &Path| {
        let mut client = Client::here(address);
        client.ask(file, "Connection: close\r\n");
        site.compare(file, &mut client);
        assert!(client.is_finished(), "{}: more than the file", file.display());
    };
    for (frames, rarer) in FRAMES.into_iter().zip([1, 5]) {
        let server = Server::direct(&lab, &site.root, &["--frames", frames]);
        for (address, step) in [(lab.address(), 1)].into_iter().chain(lab.address_v6().map(|v6| (v6, 4))) {
            let files = site.files.iter().step_by(step * rarer);
            lab.client.inside(|| files.for_each(|file| fetch(address, file)));
        }
        server.has_connections(0);
        assert_eq!(server.engine("resets"), 0, "an orderly end is none");
    }
}

#[test]
fn engines_share_the_clients() {
    let Some(lab) = Lab::cable("share") else { return };
    let site = Site::real();
    for frames in FRAMES {
        // As many as the machine and the interface's queues allow.
        let server = Server::direct(&lab, &site.root, &["--frames", frames, "--cores", "all"]);
        let mut clients: Vec<_> = (0..40).map(|_| Client::connect(&lab.client, lab.address())).collect();
        for batch in site.files.chunks(40).step_by(10) {
            batch.iter().zip(&mut clients).for_each(|(file, client)| client.ask(file, ""));
            batch.iter().zip(&mut clients).for_each(|(file, client)| site.compare(file, client));
        }
        assert_eq!(server.engine("connections"), 40);
        assert_eq!(server.connections().len(), 40);
        drop(clients);
        server.has_connections(0);
    }
}

#[test]
fn conditions_ranges_and_heads() {
    let Some(lab) = Lab::cable("ranges") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    pattern::write(&path, 200_000);
    // What may still be changing has no date that would tell (RFC 9110 §8.8.2.2).
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    let whole = fs::read(&path).unwrap();
    let _server = Server::direct(&lab, dir.path(), &[]);
    for address in [lab.address()].into_iter().chain(lab.address_v6()) {
        let mut client = Client::connect(&lab.client, address);
        let first = client.get("file");
        assert!(first.status == 200 && first.body == whole);
        let (tag, modified) = (first.field("ETag"), first.field("Last-Modified"));
        for condition in [format!("If-None-Match: {tag}\r\n"), format!("If-Modified-Since: {modified}\r\n")] {
            client.ask(Path::new("file"), &condition);
            assert_eq!(client.head().status, 304, "{condition}");
        }
        let ranges = [
            ("0-99", 0..100),
            ("1447-1448", 1447..1449),
            ("-1", 199_999..200_000),
            ("65535-131073", 65_535..131_074),
            ("3-", 3..200_000),
        ];
        for (range, expected) in ranges {
            client.ask(Path::new("file"), &format!("Range: bytes={range}\r\n"));
            let answer = client.answer();
            assert_eq!(answer.status, 206, "{range}");
            let shown = format!("bytes {}-{}/200000", expected.start, expected.end - 1);
            assert_eq!(answer.field("Content-Range"), shown);
            assert!(answer.body == whole[expected], "{range}");
        }
        client.ask(Path::new("file"), &format!("If-Range: {tag}\r\nRange: bytes=5-6\r\n"));
        assert_eq!(client.answer().body, &whole[5..7]);
        client.ask(Path::new("file"), "If-Range: \"other\"\r\nRange: bytes=5-6\r\n");
        assert!(client.answer().body == whole);
        client.ask(Path::new("file"), "Range: bytes=200000-\r\n");
        assert_eq!(client.answer().status, 416);
        client.send("HEAD /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = client.head();
        assert_eq!((head.status, head.length()), (200, 200_000));
        // Nothing followed the head, or this would not be understood.
        assert_eq!(client.get("none").status, 404);
    }
}

#[test]
fn a_file_that_memory_does_not_hold() {
    const LENGTH: u64 = 64 << 20;
    let Some(lab) = Lab::cable("staged") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    let server = Server::direct(&lab, dir.path(), &["--cache", "16MiB"]);
    for address in [lab.address()].into_iter().chain(lab.address_v6()) {
        let mut client = Client::connect(&lab.client, address);
        client.ask(Path::new("big"), "");
        assert_eq!(client.head().length(), LENGTH);
        client.compare(&mut Comparison::default(), LENGTH);
        assert_eq!(client.get("none").status, 404, "the connection goes on");
    }
    server.has_connections(0);
}

#[test]
fn a_reader_that_pauses_closes_the_window_and_loses_nothing() {
    const LENGTH: u64 = 8 << 20;
    let Some(lab) = Lab::cable("slow") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    let server = Server::direct(&lab, dir.path(), &[]);
    let mut client = Client::connect(&lab.client, lab.address());
    set_socket_recv_buffer_size(client.stream(), 8192).unwrap();
    client.ask(Path::new("big"), "");
    assert_eq!(client.head().length(), LENGTH);
    let mut comparison = Comparison::default();
    // Nobody reads: the peer's window closes, and what is queued stays bounded.
    for until in [1, LENGTH / 2, LENGTH] {
        eventually("a full window", || {
            let connections = server.connections();
            let [connection] = &connections[..] else { return false };
            assert!(connection["send_queue"].as_u64().unwrap() <= 2 << 20, "{connection}");
            // Less than a segment is left of it.
            let window = connection["send_window"].as_u64().unwrap();
            window < connection["segment_size"].as_u64().unwrap()
        });
        client.compare(&mut comparison, until);
    }
    assert_eq!(client.get("none").status, 404);
}

#[test]
fn a_client_that_has_finished_is_answered() {
    let Some(lab) = Lab::cable("half") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("file"), 500_000);
    let whole = fs::read(dir.path().join("file")).unwrap();
    let server = Server::direct(&lab, dir.path(), &[]);
    for requests in 1..4 {
        let mut stream = connect(&lab, lab.address());
        stream.write_all(request(Path::new("file"), "").repeat(requests).as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut client = Client::on(stream);
        for _ in 0..requests {
            assert!(client.answer().body == whole);
        }
        assert!(client.is_finished());
    }
    // Nothing was asked for at all, or only half of something.
    for request in ["", "GET / HT"] {
        let mut stream = connect(&lab, lab.address());
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    }
    server.has_connections(0);
}

#[test]
fn clients_that_reset_in_the_middle_are_forgotten() {
    let Some(lab) = Lab::cable("reset") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), 8 << 20);
    fs::write(dir.path().join("small"), "small").unwrap();
    let server = Server::direct(&lab, dir.path(), &["--cache", "64MiB"]);
    for count in 0..20 {
        let mut client = Client::connect(&lab.client, lab.address());
        client.ask(Path::new("big"), "");
        client.head();
        client.compare(&mut Comparison::default(), 1000 * count);
        set_socket_linger(client.stream(), Some(Duration::ZERO)).unwrap();
    }
    server.has_connections(0);
    assert_eq!(server.engine("resets"), 20);
    assert_eq!(server.engine("pins"), 0, "what was sent to them is not held");
    assert_eq!(Client::connect(&lab.client, lab.address()).get("small").body, b"small");
}

fn connect(lab: &Lab, address: SocketAddr) -> TcpStream {
    let stream = lab.client.inside(|| TcpStream::connect(address)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(45))).unwrap();
    stream
}

/// The Debian Administrator's Handbook if it is installed, or a tree like it.
struct Site {
    root: PathBuf,
    files: Vec<PathBuf>,
    _generated: Option<TempDir>,
}

impl Site {
    fn real() -> Site {
        let handbook = Path::new("/usr/share/doc/debian-handbook/html");
        if handbook.is_dir() {
            return Site { root: handbook.to_owned(), files: files(handbook), _generated: None };
        }
        let dir = tempfile::tempdir().unwrap();
        for number in 0..2000_u64 {
            let directory = dir.path().join(format!("chapter-{}", number % 40));
            fs::create_dir_all(&directory).unwrap();
            // From nothing to 128 KiB, with every remainder.
            pattern::write(&directory.join(format!("page {number}.html")), number * number * 211 % 131_072);
        }
        Site { root: dir.path().to_owned(), files: files(dir.path()), _generated: Some(dir) }
    }

    /// Compares the next answer with a file.
    fn compare(&self, file: &Path, client: &mut Client) {
        let answer = client.answer();
        let same = answer.status == 200 && answer.body == fs::read(self.root.join(file)).unwrap();
        assert!(same, "{}: {}, or different", file.display(), answer.status);
    }
}
