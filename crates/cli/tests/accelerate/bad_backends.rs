//! Backends that are down, slow, broken, or lie: the client hears 502 or 504, or its connection is cut; nothing of it is
//! kept, nobody else notices, and it is over when the backend is well again.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::backend::{Asked, Backend};
use crate::message::{Message, ok};
use crate::proxy::{Proxy, Setup, eventually, get};

/// What a backend does on `/bad`, until it is told to be good.
type Deed = fn(&mut Asked<'_>);

/// How the client notices.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Status(u16),
    Cut,
}

fn say(asked: &mut Asked<'_>, octets: impl AsRef<[u8]>) {
    _ = asked.connection.send(octets);
}

/// Waits for the other end to give up.
fn wait(asked: &mut Asked<'_>) {
    asked.connection.has_ended();
}

const DEEDS: &[(&str, Deed, Seen)] = &[
    ("closes", |_| (), Seen::Status(502)),
    ("is silent", wait, Seen::Status(504)),
    ("closes amid its head", |asked| say(asked, "HTTP/1.1 200 OK\r\nX: "), Seen::Status(502)),
    (
        "stops amid its head",
        |asked| {
            say(asked, "HTTP/1.1 200 OK\r\nX: ");
            wait(asked)
        },
        Seen::Status(504),
    ),
    ("closes amid its body", |asked| say(asked, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Seen::Cut),
    (
        "stops amid its body",
        |asked| {
            say(asked, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nhalf");
            wait(asked);
        },
        Seen::Cut,
    ),
    (
        "truncates chunks",
        |asked| {
            say(
                asked,
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            );
        },
        Seen::Cut,
    ),
    (
        "sends no chunks",
        |asked| {
            say(
                asked,
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nno\r\n",
            );
            wait(asked);
        },
        Seen::Cut,
    ),
    (
        "has a long head",
        |asked| {
            say(asked, format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200_000)));
            wait(asked);
        },
        Seen::Status(502),
    ),
    (
        "floods with 1xx",
        |asked| {
            say(asked, "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000));
            wait(asked);
        },
        Seen::Status(502),
    ),
    ("is of another age", |asked| say(asked, "<html>hello</html>"), Seen::Status(502)),
    (
        "speaks in tongues",
        |asked| {
            say(asked, vec![0xff; 1000]);
            wait(asked)
        },
        Seen::Status(502),
    ),
    (
        "has two framings",
        |asked| {
            say(asked, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
            wait(asked);
        },
        Seen::Status(502),
    ),
    (
        "has no status",
        |asked| {
            say(asked, "HTTP/1.1 OK\r\n\r\n");
            wait(asked)
        },
        Seen::Status(502),
    ),
    (
        "switches unasked",
        |asked| {
            say(asked, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
            wait(asked);
        },
        Seen::Status(502),
    ),
];

#[test]
fn each_is_answered_for_and_forgotten() {
    let threads = DEEDS.iter().map(|&(name, deed, seen)| std::thread::spawn(move || try_out(name, deed, seen)));
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
}

fn try_out(name: &str, deed: Deed, seen: Seen) {
    let is_good = Arc::new(AtomicBool::new(false));
    let good = is_good.clone();
    let backend = Backend::new(move |mut asked| {
        while let Some(request) = asked.next() {
            if request.target() == "/bad" && !good.load(Ordering::SeqCst) {
                return deed(&mut asked);
            }
            _ = asked.connection.send(ok("Cache-Control: max-age=60\r\n", request.target()));
        }
    });
    let proxy = Proxy::start(&Setup { patience: 2, ..Setup::of(&[backend.address]) });
    let mut others = proxy.connect();
    let mut connection = proxy.connect();
    connection.send(get("/bad", "")).unwrap();
    others.send(get("/other", "")).unwrap();
    assert_eq!(others.response().unwrap().text(), "/other", "{name}");
    match (connection.response(), seen) {
        (Ok(message), Seen::Status(status)) => assert_eq!(message.status(), status, "{name}"),
        (Err(_), Seen::Cut) => {}
        (Ok(message), Seen::Cut) => panic!("{name}: {message:?}"),
        (Err(error), _) => panic!("{name}: {error}"),
    }
    is_good.store(true, Ordering::SeqCst);
    assert_eq!(proxy.get("/bad").text(), "/bad", "{name}: nothing was kept, and it is well again");
    assert_eq!(proxy.get("/bad").text(), "/bad", "{name}");
    if let Seen::Status(_) = seen {
        connection.send(get("/bad", "")).unwrap();
        assert_eq!(connection.response().unwrap().text(), "/bad", "{name}: the client's connection goes on");
    }
}

/// A response with more behind it is one response, and the rest is nobody's.
#[test]
fn what_comes_behind_a_response_is_nobodys() {
    let backend = Backend::new(|mut asked| {
        while let Some(request) = asked.next() {
            let poison = ok("Cache-Control: max-age=60\r\n", "poison");
            if asked.connection.send(ok("", request.target()) + &poison).is_err() {
                return;
            }
        }
    });
    let proxy = Proxy::before(backend.address);
    let mut connection = proxy.connect();
    for number in 0..50 {
        let target = format!("/{number}");
        connection.send(get(&target, "")).unwrap();
        assert_eq!(connection.response().unwrap().text(), target);
    }
    assert_eq!(backend.connections(), 50, "none is used twice");
}

#[test]
fn a_backend_that_is_down_is_502_and_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::before(address);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 502);
    }
    let _backend = Backend::at(address, |mut asked| {
        while let Some(request) = asked.next() {
            _ = asked.connection.send(ok("", request.target()));
        }
    });
    assert_eq!(proxy.get("/").text(), "/");
}

/// Of two, one is down: nobody notices.
#[test]
fn one_of_two_that_is_down_costs_nobody_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let down = listener.local_addr().unwrap();
    drop(listener);
    let backend = Backend::echoing();
    let proxy = Proxy::start(&Setup::of(&[down, backend.address]));
    for number in 0..200 {
        let target = format!("/{number}");
        assert_eq!(proxy.get(&target).text(), target);
    }
}

/// It closes each connection behind its answer without saying so, often just when the next request comes.
#[test]
fn connections_that_are_closed_without_notice_cost_no_get() {
    let backend = Backend::new(|mut asked| {
        if let Some(request) = asked.next() {
            _ = asked.connection.send(ok("Cache-Control: no-store\r\n", request.target()));
        }
    });
    let proxy = Proxy::before(backend.address);
    let mut connection = proxy.connect();
    let mut answered = 0;
    for number in 0..300 {
        let target = format!("/{number}");
        connection.send(get(&target, "")).unwrap();
        answered += usize::from(connection.response().unwrap().text() == target);
    }
    assert_eq!(answered, 300);
}

#[test]
fn a_stale_answer_is_better_than_none() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    let backend = Backend::new(move |mut asked| {
        while let Some(request) = asked.next() {
            let head = "Cache-Control: max-age=0, stale-if-error=600\r\nETag: \"1\"\r\n";
            match (down.load(Ordering::SeqCst), request.target()) {
                (true, "/error") => _ = asked.connection.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
                (true, _) => return,
                _ => _ = asked.connection.send(ok(head, "kept")),
            }
        }
    });
    let proxy = Proxy::before(backend.address);
    for target in ["/error", "/closed"] {
        assert_eq!(proxy.get(target).text(), "kept");
        // A worker keeps it: then it is asked whether it is still good.
        let validates = |asked: &Message| asked.target() == target && asked.head.contains("If-None-Match");
        eventually("a validation", || proxy.get(target).text() == "kept" && backend.asked().iter().any(validates));
    }
    is_down.store(true, Ordering::SeqCst);
    for target in ["/error", "/closed"] {
        assert_eq!(proxy.get(target).text(), "kept", "{target}");
    }
    assert_eq!(proxy.get("/unknown").status(), 502);
}

/// A thousand clients who ask for the same slow object are one question to the backend.
#[test]
fn a_crowd_of_a_thousand_asks_once() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let backend = Backend::new(move |mut asked| {
        while let Some(request) = asked.next() {
            if request.target() == "/slow" {
                _ = released.lock().unwrap().recv();
            }
            _ = asked.connection.send(ok("Cache-Control: max-age=60\r\n", &"x".repeat(10_000)));
        }
    });
    let proxy = Proxy::before(backend.address);
    let mut crowd: Vec<_> = (0..1000).map(|_| proxy.connect()).collect();
    for connection in &mut crowd {
        connection.send(get("/slow", "")).unwrap();
    }
    // The first leaves, with nine others.
    crowd.drain(..10).for_each(|connection| connection.reset());
    eventually("the question", || !backend.asked().is_empty());
    // Another request has passed all of them.
    assert_eq!(proxy.get("/other").body.len(), 10_000);
    release.send(()).unwrap();
    for connection in &mut crowd {
        assert_eq!(connection.response().unwrap().body.len(), 10_000);
    }
    assert_eq!(backend.asked().iter().filter(|asked| asked.target() == "/slow").count(), 1);
}

/// All of a crowd hear of the failure, and the next asks anew.
#[test]
fn a_crowd_hears_of_a_failure() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (released, count) = (Mutex::new(released), AtomicUsize::new(0));
    let backend = Backend::new(move |mut asked| {
        while let Some(_request) = asked.next() {
            if count.fetch_add(1, Ordering::SeqCst) < 2 {
                _ = released.lock().unwrap().recv();
                return;
            }
            _ = asked.connection.send(ok("Cache-Control: max-age=60\r\n", "well"));
        }
    });
    let proxy = Proxy::before(backend.address);
    let mut crowd: Vec<_> = (0..100).map(|_| proxy.connect()).collect();
    for connection in &mut crowd {
        connection.send(get("/", "")).unwrap();
    }
    eventually("the question", || !backend.asked().is_empty());
    release.send(()).unwrap();
    release.send(()).unwrap();
    let statuses: Vec<u16> = crowd.iter_mut().map(|connection| connection.response().unwrap().status()).collect();
    assert!(statuses.iter().all(|&status| status == 502 || status == 200), "{statuses:?}");
    assert!(statuses.contains(&502), "{statuses:?}");
    assert_eq!(proxy.get("/").text(), "well");
}
