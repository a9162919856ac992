//! Connections that become another protocol's.

use crate::backend::Backend;
use crate::message::ok;
use crate::proxy::{Proxy, Setup, get};

const ASKS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n";
const SWITCHES: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n";

/// Sends back what comes, until that ends; then says goodbye.
fn echo() -> Backend {
    Backend::new(|mut asked| {
        let Some(request) = asked.next() else { return };
        if request.field("upgrade").is_none() {
            _ = asked.connection.send(ok("", "not asked"));
            return;
        }
        // What came along before it has agreed.
        assert!(asked.connection.unread.is_empty());
        if asked.connection.send(SWITCHES).is_err() {
            return;
        }
        while let Ok(1..) = asked.connection.more() {
            let octets = std::mem::take(&mut asked.connection.unread);
            if asked.connection.send(octets).is_err() {
                return;
            }
        }
        _ = asked.connection.send("goodbye");
    })
}

#[test]
fn a_protocol_goes_both_ways_and_each_half_ends_by_itself() {
    let backend = echo();
    let proxy = Proxy::start(&Setup { route: "upgrade = true", ..Setup::of(&[backend.address]) });
    let mut connection = proxy.connect();
    connection.send(get("/", ASKS) + "early").unwrap();
    let head = connection.response_head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("Sec-WebSocket-Accept: y"), "{head}");
    let octets: Vec<u8> = (0..1_000_000u32).map(|at| (at % 251) as u8).collect();
    let (mut sender, all) = (connection.stream.try_clone().unwrap(), octets.clone());
    let sending = std::thread::spawn(move || {
        std::io::Write::write_all(&mut sender, &all).unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let back = connection.rest();
    sending.join().unwrap();
    let expected = [b"early", &octets[..], b"goodbye"].concat();
    assert!(back == expected, "{} octets instead of {}", back.len(), expected.len());
    drop(connection);
}

/// The backend says goodbye first, and still hears the end of what the client says.
#[test]
fn what_a_client_says_last_arrives() {
    let (heard, hears) = std::sync::mpsc::channel();
    let heard = std::sync::Mutex::new(heard);
    let backend = Backend::new(move |mut asked| {
        if asked.next().is_none() || asked.connection.send(SWITCHES).is_err() {
            return;
        }
        asked.connection.finish();
        _ = heard.lock().unwrap().send(asked.connection.rest());
    });
    let proxy = Proxy::start(&Setup { route: "upgrade = true", ..Setup::of(&[backend.address]) });
    for _ in 0..20 {
        let mut connection = proxy.connect();
        connection.send(get("/", ASKS)).unwrap();
        connection.response_head().unwrap();
        assert!(connection.rest().is_empty());
        connection.send(vec![b'x'; 200_000]).unwrap();
        connection.finish();
        assert_eq!(hears.recv_timeout(crate::message::PATIENCE).unwrap().len(), 200_000);
    }
}

#[test]
fn nobody_switches_where_no_route_says_so() {
    let backend = echo();
    let proxy = Proxy::before(backend.address);
    for fields in [ASKS, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"] {
        assert_eq!(proxy.ask(&get("/", fields)).text(), "not asked");
    }
    let tunnel = proxy.ask("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
    assert_eq!(tunnel.status(), 405);
    assert!(backend.asked().iter().all(|asked| !asked.head.starts_with("CONNECT")));
}
