//! Who a request is from, told from hop to hop: PROXY headers, X-Forwarded-For and Forwarded, and a client's backend.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::backend::Backend;
use crate::message::{Connection, Message, field, ok};
use crate::proxy::{Proxy, Setup, eventually, get};

/// How a header of version 2 of the PROXY protocol starts (§2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Load balancers are this machine, and 10.0.0.0/8 behind them is trusted.
const LISTENS: &str = "proxy-protocol = ['127.0.0.0/8']\ntrusted = ['10.0.0.0/8']\nforwarded = 'both'";

/// What an untrusted client claims; nothing of it may arrive.
const CLAIMS: &str = "X-Forwarded-For: 192.0.2.66\r\nx-forwarded-for: 192.0.2.67\r\nForwarded: for=192.0.2.66;proto=https\r\n\
                      X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 666\r\nX-Real-IP: 192.0.2.66\r\n";

fn v1(source: &str, port: u16) -> Vec<u8> {
    let (family, destination) = if source.contains(':') { ("TCP6", "2001:db8::ff") } else { ("TCP4", "198.51.100.1") };
    format!("PROXY {family} {source} {destination} {port} 80\r\n").into_bytes()
}

/// A header of version 2, with its command, family, addresses and what is behind them.
fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, content].concat()
}

/// The addresses of TCP over IPv4: from `source` to 198.51.100.1:80.
fn v2_content(source: Ipv4Addr, port: u16) -> Vec<u8> {
    [&source.octets()[..], &[198, 51, 100, 1], &port.to_be_bytes(), &80_u16.to_be_bytes()].concat()
}

/// The answer to a request behind `header`, both in one piece.
fn ask_behind(proxy: &Proxy, header: &[u8], request: &str) -> Message {
    let mut connection = proxy.connect();
    connection.send([header, request.as_bytes()].concat()).unwrap();
    connection.response().unwrap_or_else(|error| panic!("{error} behind {:?}", String::from_utf8_lossy(header)))
}

/// The values of a field in the last request that came.
fn last(backend: &Backend, name: &str) -> Vec<String> {
    field(&backend.asked().last().expect("a request").head, name)
}

fn behind(accelerate: &'static str, backend: &Backend) -> Proxy {
    Proxy::start(&Setup { accelerate, ..Setup::of(&[backend.address]) })
}

/// PROXY protocol §2.1 and §2.2: version 1 and 2, with and without addresses.
#[test]
fn the_client_is_whom_a_load_balancer_names() {
    let backend = Backend::echoing();
    let proxy = behind(LISTENS, &backend);
    let (v4, tlv) = (v2_content(Ipv4Addr::new(203, 0, 113, 7), 4711), [0x04, 0, 3, b'a', b'b', b'c']);
    let ipv6 = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
    let v6 = [&ipv6[..], &ipv6, &4711_u16.to_be_bytes(), &80_u16.to_be_bytes()].concat();
    let rows = [
        (v1("203.0.113.7", 4711), "203.0.113.7"),
        (v1("2001:db8::7", 4711), "2001:db8::7"),
        (v2(1, 0x11, &v4), "203.0.113.7"),
        // §2.2.7: a TLV, whatever it is.
        (v2(1, 0x11, &[&v4[..], &tlv].concat()), "203.0.113.7"),
        (v2(1, 0x21, &v6), "2001:db8::7"),
        // The load balancer speaks for itself, or does not know; what stands behind that is ignored.
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (b"PROXY UNKNOWN 203.0.113.7 198.51.100.1 1 2\r\n".to_vec(), "127.0.0.1"),
        (v2(0, 0, &[]), "127.0.0.1"),
        (v2(0, 0x11, &v4), "127.0.0.1"),
    ];
    for (header, expected) in &rows {
        assert_eq!(ask_behind(&proxy, header, &get("/a", CLAIMS)).status(), 200);
        assert_eq!(last(&backend, "x-forwarded-for"), [*expected]);
        let node = if expected.contains(':') { format!("\"[{expected}]\"") } else { (*expected).to_owned() };
        assert_eq!(last(&backend, "forwarded"), [format!("for={node};host=example.org;proto=http")]);
    }
    assert_eq!(backend.faults(), [""; 0]);
}

#[test]
fn a_proxy_header_may_come_in_pieces_and_holds_for_the_connection() {
    let backend = Backend::echoing();
    let proxy = behind(LISTENS, &backend);
    for header in [v1("203.0.113.7", 4711), v2(1, 0x11, &v2_content(Ipv4Addr::new(203, 0, 113, 7), 4711))] {
        let mut connection = proxy.connect();
        for octet in &header {
            connection.send([*octet]).unwrap();
        }
        for target in ["/first", "/second"] {
            connection.send(get(target, "")).unwrap();
            assert_eq!(connection.response().unwrap().text(), target);
            assert_eq!(last(&backend, "x-forwarded-for"), ["203.0.113.7"]);
        }
        // A second one is no request.
        connection.send([&v1("203.0.113.8", 4711)[..], get("/third", "").as_bytes()].concat()).unwrap();
        assert_eq!(connection.response().unwrap().status(), 400);
        assert!(connection.has_ended());
    }
    assert_eq!(backend.asked().len(), 4);
}

/// PROXY protocol §2: a receiver must not guess; it closes the connection.
#[test]
fn behind_a_malformed_proxy_header_nothing_is_asked() {
    let backend = Backend::echoing();
    let proxy = behind(LISTENS, &backend);
    let v4 = v2_content(Ipv4Addr::new(203, 0, 113, 7), 4711);
    let mut version_3 = v2(1, 0x11, &v4);
    version_3[12] = 0x31;
    let headers = [
        Vec::new(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4711\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 65536\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.07 198.51.100.1 4711 80\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 2001:db8::8 4711 80\r\n".to_vec(),
        b"PROXY UDP4 203.0.113.7 198.51.100.1 4711 80\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\n".to_vec(),
        // §2.1: 107 octets are the most.
        format!("PROXY TCP4 {}\r\n", "1".repeat(200)).into_bytes(),
        version_3,
        v2(2, 0x11, &v4),
        v2(1, 0x41, &v4),
        v2(1, 0x11, &v4[..11]),
        v2(1, 0x21, &v4),
        // A TLV that is longer than the header, and a header that is longer than any should be.
        v2(1, 0x11, &[&v4[..], &[4, 0, 9, 1]].concat()),
        v2(1, 0x11, &[&v4[..], &[0; 60_000]].concat()),
    ];
    for header in &headers {
        let mut connection = proxy.connect();
        // The proxy may end it before all is sent.
        _ = connection.send([&header[..], get("/", "").as_bytes()].concat());
        let answer = connection.rest();
        assert_eq!(String::from_utf8_lossy(&answer), "", "to {:?}", String::from_utf8_lossy(header));
        assert!(connection.has_ended());
    }
    // One that ends in the middle.
    for header in [v1("203.0.113.7", 4711), v2(1, 0x11, &v4)] {
        let mut connection = proxy.connect();
        connection.send(&header[..header.len() - 1]).unwrap();
        connection.finish();
        assert!(connection.has_ended());
    }
    assert_eq!((backend.asked().len(), backend.connections()), (0, 0));
    assert_eq!(ask_behind(&proxy, &v1("203.0.113.7", 4711), &get("/", "")).status(), 200);
}

/// From all others it is no header but a bad request: they would else be whom they like.
#[test]
fn a_proxy_header_of_somebody_else_is_a_bad_request() {
    let backend = Backend::echoing();
    for setup in ["", "proxy-protocol = ['10.0.0.0/8']"] {
        let proxy = behind(setup, &backend);
        let headers = [v1("203.0.113.7", 4711), v2(1, 0x11, &v2_content(Ipv4Addr::new(203, 0, 113, 7), 4711))];
        for header in &headers {
            let mut connection = proxy.connect();
            connection.send([header, get("/forged", "").as_bytes()].concat()).unwrap();
            assert_eq!(connection.response().unwrap().status(), 400);
            assert!(connection.has_ended());
        }
        assert_eq!(proxy.get("/plain").text(), "/plain");
        assert_eq!(last(&backend, "x-forwarded-for"), ["127.0.0.1"]);
    }
    assert!(backend.asked().iter().all(|request| request.target() == "/plain"));
}

/// Pools that send headers, also with checks; and whether they are of version 2.
const VERSIONS: [(&str, bool); 2] = [
    ("proxy-protocol = 'v1'\nhealth = { path = '/well', interval = '1s' }", false),
    ("proxy-protocol = 'v2'\nhealth = { path = '/well', interval = '1s' }", true),
];

/// A backend that wants a PROXY header of one version on each connection, and says in X-Header whom it names, and where to that one
/// sent.
fn reads_header(is_binary: bool) -> Backend {
    Backend::new(move |mut asked| {
        let read = if is_binary { read_v2 } else { read_v1 };
        let named = read(&mut asked.connection).map_or("none".to_owned(), |[source, ours]| format!("{source} {ours}"));
        while asked.next().is_some() {
            let answer = ok(&format!("Cache-Control: private\r\nX-Header: {named}\r\n"), "");
            _ = asked.connection.send(answer);
        }
    })
}

/// `None`: it names nobody, or is malformed.
fn read_v1(connection: &mut Connection) -> Option<[SocketAddr; 2]> {
    let end = loop {
        match connection.unread.windows(2).position(|pair| pair == b"\r\n") {
            Some(end) => break end,
            None => connection.more().ok().filter(|count| *count > 0)?,
        };
    };
    let line = String::from_utf8(connection.unread.drain(..end + 2).collect()).ok()?;
    let ["PROXY", family, source, destination, port, own_port] = line.trim_end().split(' ').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let ip: IpAddr = source.parse().ok()?;
    let own: IpAddr = destination.parse().ok()?;
    let is_same = ip.is_ipv4() == own.is_ipv4();
    let is_right = family == if ip.is_ipv4() { "TCP4" } else { "TCP6" };
    let ends = [SocketAddr::new(ip, port.parse().ok()?), SocketAddr::new(own, own_port.parse().ok()?)];
    (is_same && is_right).then_some(ends)
}

fn read_v2(connection: &mut Connection) -> Option<[SocketAddr; 2]> {
    let mut length = 16;
    while connection.unread.len() < length {
        connection.more().ok().filter(|count| *count > 0)?;
        length = 16 + connection.unread.get(15).map_or(0, |octet| usize::from(*octet));
    }
    let is_signed = connection.unread.starts_with(SIGNATURE);
    let header: Vec<u8> = connection.unread.drain(..length).collect();
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let v4 = |at: usize| <[u8; 4]>::try_from(&header[at..at + 4]).map(IpAddr::from);
    let v6 = |at: usize| <[u8; 16]>::try_from(&header[at..at + 16]).map(IpAddr::from);
    let (source, own, ports) = match (is_signed, header[12], header[13], length) {
        (true, 0x21, 0x11, 28..) => (v4(16), v4(20), 24),
        (true, 0x21, 0x21, 52..) => (v6(16), v6(32), 48),
        _ => return None,
    };
    Some([SocketAddr::new(source.ok()?, port(ports)), SocketAddr::new(own.ok()?, port(ports + 2))])
}

#[test]
fn a_backend_is_told_of_each_client_in_a_proxy_header() {
    for (pool, is_binary) in VERSIONS {
        let backend = reads_header(is_binary);
        let proxy = Proxy::start(&Setup { pool, ..Setup::of(&[backend.address]) });
        let mut clients = [proxy.connect(), proxy.connect()];
        // One after the other and again: no connection of one client serves another.
        for _ in 0..3 {
            for client in &mut clients {
                client.send(get("/", "")).unwrap();
                let port = client.stream.local_addr().unwrap().port();
                let told = client.response().unwrap().field("x-header").unwrap();
                assert_eq!(told, format!("127.0.0.1:{port} {}", proxy.address), "{pool}");
            }
        }
        eventually("a check", || backend.asked().iter().any(|request| request.target() == "/well"));
        assert_eq!(backend.faults(), [""; 0]);
    }
}

/// What one load balancer tells goes on to the next, whatever the version.
#[test]
fn a_proxy_header_goes_on_to_the_backend() {
    for (pool, is_binary) in VERSIONS {
        let backend = reads_header(is_binary);
        let proxy = Proxy::start(&Setup { pool, accelerate: LISTENS, ..Setup::of(&[backend.address]) });
        for (header, ends) in [
            (v1("203.0.113.7", 4711), "203.0.113.7:4711 198.51.100.1:80"),
            (v2(1, 0x11, &v2_content(Ipv4Addr::new(203, 0, 113, 8), 1)), "203.0.113.8:1 198.51.100.1:80"),
            (v1("2001:db8::7", 4711), "[2001:db8::7]:4711 [2001:db8::ff]:80"),
        ] {
            let told = ask_behind(&proxy, &header, &get("/", CLAIMS)).field("x-header").unwrap();
            assert_eq!(told, ends, "{pool}");
        }
    }
}

#[test]
fn what_an_untrusted_client_says_of_itself_is_replaced() {
    for (setup, x_forwarded, forwarded) in [
        ("", true, false),
        ("trusted = ['10.0.0.0/8']\nforwarded = 'forwarded'", false, true),
        ("forwarded = 'both'", true, true),
        ("forwarded = 'off'", false, false),
    ] {
        let backend = Backend::echoing();
        let proxy = behind(setup, &backend);
        assert_eq!(proxy.ask(&get("/", CLAIMS)).status(), 200);
        let expected = |is_written: bool, value: &'static str| if is_written { vec![value] } else { Vec::new() };
        for (name, value) in [
            ("x-forwarded-for", expected(x_forwarded, "127.0.0.1")),
            ("x-forwarded-proto", expected(x_forwarded, "http")),
            ("x-forwarded-host", expected(x_forwarded, "example.org")),
            // RFC 7239 §4.
            ("forwarded", expected(forwarded, "for=127.0.0.1;host=example.org;proto=http")),
            ("x-forwarded-port", Vec::new()),
            ("x-real-ip", Vec::new()),
        ] {
            assert_eq!(last(&backend, name), value, "{name} with {setup}");
        }
        let head = &backend.asked()[0].head;
        assert!(!head.contains("192.0.2.") && !head.contains("evil"), "{head}");
    }
}

/// RFC 7239 §4: each hop appends an element. Lines of one list are put together in their order (RFC 9110 §5.3).
#[test]
fn what_a_trusted_hop_says_is_extended() {
    let fields = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.0.0.9\r\nForwarded: for=203.0.113.7;proto=https\r\n\
                  X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n";
    let all = "for=203.0.113.7;proto=https, for=127.0.0.1;host=example.org;proto=http";
    for setup in ["trusted = ['127.0.0.0/8']", "trusted = ['127.0.0.0/8']\nforwarded = 'both'"] {
        let backend = Backend::echoing();
        let proxy = behind(setup, &backend);
        assert_eq!(proxy.ask(&get("/", fields)).status(), 200);
        assert_eq!(last(&backend, "x-forwarded-for"), ["203.0.113.7, 10.0.0.9, 127.0.0.1"]);
        assert_eq!(last(&backend, "forwarded"), [all]);
        // It saw the client's own connection.
        assert_eq!(last(&backend, "x-forwarded-proto"), ["https"]);
        assert_eq!(last(&backend, "x-forwarded-host"), ["shop.example"]);
    }
    // Whether a peer is trusted goes by its address in the PROXY header.
    let backend = Backend::echoing();
    let proxy = behind(LISTENS, &backend);
    ask_behind(&proxy, &v1("10.0.0.2", 1), &get("/", fields));
    assert_eq!(last(&backend, "x-forwarded-for"), ["203.0.113.7, 10.0.0.9, 10.0.0.2"]);
    ask_behind(&proxy, &v1("203.0.113.2", 1), &get("/", fields));
    assert_eq!(last(&backend, "x-forwarded-for"), ["203.0.113.2"]);
}

const STICKY: &str = "balance = 'round-robin'\nsticky = { cookie = 'seat', path = '/', max-age = '1h' }";

/// Backends that say which they are.
fn named(count: usize) -> Vec<Backend> {
    let one = |at: usize| Backend::answering(move |_| ok("Cache-Control: no-store\r\n", &at.to_string()).into_bytes());
    (0..count).map(one).collect()
}

fn before(backends: &[Backend]) -> Setup {
    let addresses: Vec<SocketAddr> = backends.iter().map(|backend| backend.address).collect();
    Setup { pool: STICKY, ..Setup::of(&addresses) }
}

/// The pair of the cookie that an answer sets (RFC 6265 §4.1).
fn given(answer: &Message) -> Option<String> {
    let value = answer.field("set-cookie")?;
    Some(value.split(';').next().unwrap().to_owned())
}

#[test]
fn a_cookie_brings_a_client_back_to_its_backend() {
    let backends = named(4);
    let proxy = Proxy::start(&before(&backends));
    let mut seen = Vec::new();
    for _ in 0..8 {
        let first = proxy.get("/");
        let attributes = first.field("set-cookie").unwrap();
        for attribute in ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Lax"] {
            assert!(attributes.split("; ").any(|own| own == attribute), "{attributes}");
        }
        let cookie = given(&first).unwrap();
        for fields in [format!("Cookie: {cookie}\r\n"), format!("Cookie: a=b; {cookie}; xseat=1\r\n")] {
            let again = proxy.ask(&get("/again", &fields));
            assert_eq!((again.text(), given(&again)), (first.text(), None));
        }
        seen.push(first.text());
    }
    assert!(seen.iter().any(|place| *place != seen[0]), "clients without a cookie have more than one backend");
}

#[test]
fn a_forged_or_stale_cookie_only_gets_another() {
    let backends = named(3);
    let proxy = Proxy::start(&before(&backends));
    let first = proxy.get("/");
    let (cookie, place, long) = (given(&first).unwrap(), first.text(), "f".repeat(4000));
    for value in ["", "0", "0000000000000000", "zzzzzzzzzzzzzzzz", "127.0.0.1:1", "\"", "a=b=c", &long] {
        let answer = proxy.ask(&get("/", &format!("Cookie: seat={value}\r\n")));
        assert_eq!(answer.status(), 200, "{value}");
        assert!(given(&answer).is_some_and(|given| given.len() == cookie.len()), "{value}");
    }
    // Its backend is no longer one of the pool's.
    let own = backends[place.parse::<usize>().unwrap()].address.to_string();
    let mut setup = before(&backends);
    setup.backends.retain(|backend| *backend != own);
    proxy.reload(&setup);
    let answer = proxy.ask(&get("/", &format!("Cookie: {cookie}\r\n")));
    assert_eq!(answer.status(), 200);
    assert!(answer.text() != place && given(&answer).unwrap() != cookie);
}

#[test]
fn a_cookie_for_a_backend_that_is_gone_gets_another() {
    let answer = |at: usize| ok("Cache-Control: no-store\r\nConnection: close\r\n", &at.to_string()).into_bytes();
    let mut backends: Vec<Backend> = (0..2).map(|at| Backend::answering(move |_| answer(at))).collect();
    let proxy = Proxy::start(&before(&backends));
    let first = proxy.get("/");
    let (cookie, place) = (given(&first).unwrap(), first.text());
    let gone = backends.remove(place.parse().unwrap()).address;
    eventually("its end", || std::net::TcpStream::connect(gone).is_err());
    let other = proxy.ask(&get("/", &format!("Cookie: {cookie}\r\n")));
    assert_eq!(other.status(), 200);
    let renewed = given(&other).unwrap();
    assert!(renewed != cookie && other.text() != place);
    assert_eq!(proxy.ask(&get("/", &format!("Cookie: {renewed}\r\n"))).text(), other.text());
}

/// RFC 9111 §3: what is kept is for everybody, and the cookie for one.
#[test]
fn a_kept_response_gives_nobody_the_backend_of_another() {
    let backends = [Backend::answering(|_| ok("Cache-Control: max-age=600\r\n", "kept").into_bytes())];
    let proxy = Proxy::start(&before(&backends));
    assert!(given(&proxy.get("/")).is_some());
    for _ in 0..3 {
        let again = proxy.get("/");
        assert_eq!((again.text(), given(&again)), ("kept".to_owned(), None));
    }
    assert_eq!(backends[0].asked().len(), 1);
}
