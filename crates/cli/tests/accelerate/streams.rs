//! Long bodies both ways, and who waits for whom.

use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::os::unix::net::UnixListener;

use crate::backend::Backend;
use crate::message::{Connection, Message, ok};
use crate::proxy::{Proxy, Setup, get};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn hash(octets: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(octets);
    hasher.finish()
}

/// Five megabytes up and down, in each framing.
#[test]
fn long_bodies_arrive_whole() {
    let backend = Backend::answering(|request: &Message| {
        let same = format!("{:x}", hash(&request.body));
        let mut answer = format!("HTTP/1.1 200 OK\r\nX-Hash: {same}\r\n").into_bytes();
        match request.target() {
            "/chunked" => {
                answer.extend(b"Transfer-Encoding: chunked\r\nTrailer: X-Last\r\n\r\n");
                for piece in request.body.chunks(70_001) {
                    answer.extend(format!("{:x}\r\n", piece.len()).bytes());
                    answer.extend(piece);
                    answer.extend(b"\r\n");
                }
                answer.extend(b"0\r\nX-Last: trailer\r\n\r\n");
            }
            _ => {
                answer.extend(format!("Content-Length: {}\r\n\r\n", request.body.len()).bytes());
                answer.extend(&request.body);
            }
        }
        answer
    });
    let proxy = Proxy::before(backend.address);
    let body = pattern(5_000_000);
    for target in ["/chunked", "/counted"] {
        for is_chunked in [false, true] {
            let mut connection = proxy.connect();
            let mut stream = connection.stream.try_clone().unwrap();
            let (all, target) = (body.clone(), target.to_owned());
            let sending = std::thread::spawn(move || {
                let framing = match is_chunked {
                    true => "Transfer-Encoding: chunked".to_owned(),
                    false => format!("Content-Length: {}", all.len()),
                };
                stream.write_all(format!("POST {target} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes()).unwrap();
                if !is_chunked {
                    return stream.write_all(&all).unwrap();
                }
                for piece in all.chunks(33_333) {
                    stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
                    stream.write_all(piece).unwrap();
                    stream.write_all(b"\r\n").unwrap();
                }
                stream.write_all(b"0\r\n\r\n").unwrap();
            });
            let answer = connection.response().unwrap();
            sending.join().unwrap();
            assert_eq!(answer.field("x-hash"), Some(format!("{:x}", hash(&body))));
            assert!(answer.body == body);
            assert_eq!(answer.trailers.contains("X-Last: trailer"), target_is_chunked(&answer));
        }
    }
}

fn target_is_chunked(answer: &Message) -> bool {
    answer.field("transfer-encoding").is_some()
}

/// A backend that is faster than its client, and one that is slower, fill no memory.
#[test]
fn memory_stays_bounded() {
    const LONG: usize = 150_000_000;
    let (_end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let backend = Backend::new(move |mut asked| {
        // The bodies are not read by itself.
        let Ok(head) = asked.connection.response_head() else { return };
        if head.starts_with("GET") {
            let head = format!("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: {LONG}\r\n\r\n");
            let piece = vec![b'x'; 1_000_000];
            _ = asked.connection.send(head);
            for _ in 0..LONG / piece.len() {
                if asked.connection.send(&piece).is_err() {
                    return;
                }
            }
        }
        // It takes nothing as long as the test lasts.
        _ = ended.lock().unwrap().recv();
    });
    let proxy = Proxy::before(backend.address);
    assert!(proxy.memory() > 0);
    let before = proxy.memory();
    let mut slow: Vec<Connection> = (0..4).map(|_| proxy.connect()).collect();
    for connection in &mut slow {
        connection.send(get("/", "")).unwrap();
        while connection.unread.len() < 3_000_000 {
            connection.more().unwrap();
        }
    }
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 40_000, "{grown} KiB more for clients that do not read");
    drop(slow);
    // And the other way.
    let mut connection = proxy.connect();
    connection.stream.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    connection.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LONG}\r\n\r\n")).unwrap();
    let mut sent = 0;
    while sent < LONG {
        match connection.stream.write(&[b'x'; 65_536]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    assert!(sent < LONG / 2, "{sent} octets were taken for a backend that takes none");
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 40_000, "{grown} KiB more for a backend that does not read");
}

#[test]
fn a_client_that_waits_for_100_sends_its_body_when_it_may() {
    let backend = Backend::new(|mut asked| {
        loop {
            let Ok(head) = asked.connection.response_head() else { return };
            if head.contains("/refused") {
                _ = asked.connection.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
                asked.connection.has_ended();
                return;
            }
            if head.contains("/asked") {
                _ = asked.connection.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            while asked.connection.unread.len() < 4 {
                if !matches!(asked.connection.more(), Ok(1..)) {
                    return;
                }
            }
            let body = String::from_utf8(asked.connection.unread.drain(..4).collect()).unwrap();
            _ = asked.connection.send(ok("", &body));
        }
    });
    let proxy = Proxy::before(backend.address);
    for target in ["/asked", "/silent"] {
        let mut connection = proxy.connect();
        connection
            .send(format!("PUT {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"))
            .unwrap();
        assert!(connection.response_head().unwrap().starts_with("HTTP/1.1 100 "), "{target}");
        connection.send("body").unwrap();
        assert_eq!(connection.response().unwrap().text(), "body", "{target}");
    }
    let mut connection = proxy.connect();
    connection.send("PUT /refused HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").unwrap();
    assert_eq!(connection.response().unwrap().status(), 417);
    assert!(connection.has_ended());
}

#[test]
fn early_hints_go_through_and_old_clients_get_what_they_understand() {
    let backend = Backend::answering(|_: &Message| {
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            .to_vec()
    });
    let proxy = Proxy::before(backend.address);
    let mut connection = proxy.connect();
    connection.send(get("/", "")).unwrap();
    let hints = connection.response_head().unwrap();
    assert!(hints.starts_with("HTTP/1.1 103 ") && hints.contains("Link: </a>\r\n"), "{hints}");
    assert_eq!(connection.response().unwrap().text(), "hello");
    let mut old = proxy.connect();
    old.send("GET / HTTP/1.0\r\n\r\n").unwrap();
    let all = String::from_utf8(old.rest()).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 ") && all.ends_with("\r\n\r\nhello") && !all.contains("chunked"), "{all}");
    let mut kept = proxy.connect();
    kept.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
    assert!(String::from_utf8(kept.rest()).unwrap().ends_with("hello"), "without a length the end is the end");
}

#[test]
fn a_backend_may_be_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backend.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = std::io::Read::read(&mut stream, &mut buffer) {
                    _ = stream.write_all(ok("", "local").as_bytes());
                }
            });
        }
    });
    let backends = vec![format!("unix:{}", path.display())];
    let proxy = Proxy::start(&Setup { backends, ..Setup::default() });
    for _ in 0..3 {
        assert_eq!(proxy.get("/").text(), "local");
    }
}
