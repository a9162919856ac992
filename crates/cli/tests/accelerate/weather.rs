//! Any weather, on two engines at once: what a client gets is whole and its own, or its connection ends.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::backend::Backend;
use crate::message::{Message, ok};
use crate::proxy::{Proxy, Setup};

/// Numbers that repeat in no hurry.
fn random(state: &AtomicU64) -> u64 {
    let mut mixed = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The path, over and over.
fn body(path: &str, length: usize) -> String {
    format!("<{path}>").chars().cycle().take(length).collect()
}

fn stormy() -> Backend {
    let state = AtomicU64::new(1);
    Backend::new(move |mut asked| {
        while let Some(request) = asked.next() {
            let (luck, length) = (random(&state), random(&state) as usize % 100_000);
            let path = request.target().split('?').next().unwrap().to_owned();
            let body = body(&path, length);
            let fields = match luck % 5 {
                0 => "Cache-Control: private\r\n",
                1 => "Cache-Control: max-age=60\r\n",
                2 => "Cache-Control: max-age=0, stale-while-revalidate=1\r\nETag: \"x\"\r\n",
                3 => "Cache-Control: max-age=60\r\nVary: X-Kind\r\n",
                _ => "Cache-Control: no-store\r\n",
            };
            let whole = match luck / 5 % 2 {
                0 => ok(fields, &body),
                _ => {
                    let chunks = body.as_bytes().chunks(9000);
                    let chunks = chunks.map(|it| format!("{:x}\r\n{}\r\n", it.len(), String::from_utf8_lossy(it)));
                    let chunks: String = chunks.collect();
                    format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
                }
            };
            let sent = match luck / 10 % 10 {
                0 => asked
                    .connection
                    .send(&whole.as_bytes()[..whole.len() / 2])
                    .and(Err(std::io::ErrorKind::Other.into())),
                1 => asked.connection.send("nonsense\r\n\r\n"),
                2 => asked.connection.send(whole + "behind"),
                3 => return asked.connection.reset(),
                4 => asked.connection.send(whole).and(Err(std::io::ErrorKind::Other.into())),
                _ => asked.connection.send(whole),
            };
            if sent.is_err() {
                return;
            }
        }
    })
}

#[test]
fn answers_are_whole_and_for_who_asked() {
    let backends = [stormy(), stormy()];
    let proxy = Proxy::start(&Setup {
        pool: "connections = 6\npending = 20\nretry = { attempts = 2 }\nejection = { failures = 0 }",
        ..Setup::of(&[backends[0].address, backends[1].address])
    });
    let address = proxy.address;
    let answered: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..12).map(|client| scope.spawn(move || ask(client, address))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(answered > 300, "{answered} of them were answered");
}

/// How many of a client's requests were answered by a backend. Some are left before.
fn ask(client: u64, address: std::net::SocketAddr) -> usize {
    let state = AtomicU64::new(client * 1000);
    let mut connection = crate::message::Connection::to(address);
    let mut answered = 0;
    for _ in 0..100 {
        let path = format!("/{}", random(&state) % 6);
        let (kind, length) = (random(&state) % 3, random(&state) % 3000);
        let request = match random(&state) % 8 {
            0 => format!(
                "PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}",
                ".".repeat(length as usize)
            ),
            1 => format!("GET {path} HTTP/1.1\r\nHost: a\r\nCache-Control: no-cache\r\n\r\n"),
            _ => format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Kind: {kind}\r\n\r\n"),
        };
        if connection.send(request).is_err() || random(&state).is_multiple_of(20) {
            std::mem::replace(&mut connection, crate::message::Connection::to(address)).reset();
            continue;
        }
        match connection.response() {
            Ok(answer) => {
                answered += usize::from(judge(&answer, &path));
                if answer.head.contains("Connection: close") {
                    connection = crate::message::Connection::to(address);
                }
            }
            Err(_) => connection = crate::message::Connection::to(address),
        }
    }
    answered
}

/// Whether an answer came from a backend; and then it is for this path.
fn judge(answer: &Message, path: &str) -> bool {
    match answer.status() {
        200 => {
            assert!(answer.text() == body(path, answer.body.len()), "{path}: {}", answer.head);
            true
        }
        status => {
            assert!([502, 503, 504].contains(&status), "{}", answer.head);
            false
        }
    }
}
