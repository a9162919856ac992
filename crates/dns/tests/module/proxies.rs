//! Clients behind a proxy that tells who they are (PROXY protocol, versions 1 and 2).

use afpa_dns::message::Rcode;
use afpa_engine::memory::Ending;

use crate::bench::{SECOND, Server, Setup, frame, local};
use crate::messages::a;

const V1_LOCAL: &[u8] = b"PROXY TCP4 10.0.0.1 192.0.2.1 4000 53\r\n";
const V1_FAR: &[u8] = b"PROXY TCP4 203.0.113.1 192.0.2.1 4000 53\r\n";
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 for IPv4: command and version, protocol, client.
fn v2(command: u8, protocol: u8, client: [u8; 4], port: u16) -> Vec<u8> {
    let rest: &[u8] = &[command, protocol, 0, 12];
    [SIGNATURE, rest, &client, &[192, 0, 2, 1], &port.to_be_bytes(), &53_u16.to_be_bytes()].concat()
}

fn server() -> Server {
    Server::new(Setup { proxies: &["127.0.0.1"], ..Setup::default() })
}

/// Whether who seems to ask may: only this network's own clients get a backend's answer.
fn headers() -> Vec<(&'static str, Vec<u8>, bool)> {
    vec![
        ("version 1", V1_LOCAL.to_vec(), true),
        ("version 1, from afar", V1_FAR.to_vec(), false),
        ("version 1, unknown", V1_UNKNOWN.to_vec(), true),
        ("version 2", v2(0x21, 0x11, [10, 0, 0, 1], 4000), true),
        ("version 2, from afar", v2(0x21, 0x11, [203, 0, 113, 1], 4000), false),
        ("version 2, local", [SIGNATURE, &[0x20, 0, 0, 0]].concat(), true),
    ]
}

#[test]
fn a_listed_peer_says_who_asks_on_each_stream() {
    for (what, header, may) in headers() {
        let frames = [frame(&a("www").id(1).octets()), frame(&a("www").id(2).octets())].concat();
        let octets = [&header[..], &frames].concat();
        for cut in [1, 5, header.len() - 1, header.len(), header.len() + 1, header.len() + 5, octets.len()] {
            let mut server = server();
            let mut stream = server.connect();
            stream.peer.send(&octets[..cut]);
            server.settle();
            stream.peer.send(&octets[cut..]);
            server.settle();
            assert_eq!(server.asked().len(), usize::from(may), "{what}, cut at {cut}");
            let answers = stream.answers();
            assert!(answers.iter().all(|answer| answer.rcode == Rcode::REFUSED));
            assert_eq!(answers.len(), if may { 0 } else { 2 }, "{what}, cut at {cut}");
            assert_eq!(stream.peer.ending(), None, "{what}, cut at {cut}");
        }
    }
}

#[test]
fn a_listed_peer_says_who_asks_in_each_datagram_and_gets_the_answer_itself() {
    for (what, header, may) in headers() {
        let mut server = server();
        for id in 1..=2 {
            server.send_octets(local(5000), &[&header[..], &a("www").id(id).octets()].concat());
        }
        let answers = server.answers();
        assert_eq!(server.asked().len(), usize::from(may), "{what}");
        assert_eq!(answers.len(), if may { 0 } else { 2 }, "{what}");
        assert!(answers.iter().all(|(to, answer)| *to == local(5000) && answer.rcode == Rcode::REFUSED));
    }
}

#[test]
fn a_listed_peer_that_does_not_say_who_asks_is_not_heard() {
    let question = a("www").octets();
    for (what, octets) in [
        ("no header", vec![]),
        ("half a header", V1_LOCAL[..10].to_vec()),
        ("nonsense", b"PROXY nonsense\r\n".to_vec()),
        ("another version", [SIGNATURE, &[0x31, 0, 0, 0]].concat()),
        ("another command", [SIGNATURE, &[0x2f, 0, 0, 0]].concat()),
        ("addresses that are cut off", [SIGNATURE, &[0x21, 0x11, 0, 3, 1, 2, 3]].concat()),
        ("an endless line", [b"PROXY ".as_slice(), &[b'x'; 200]].concat()),
        ("a client at port 0", v2(0x21, 0x11, [10, 0, 0, 1], 0)),
    ] {
        let mut server = server();
        server.send_octets(local(5000), &[&octets[..], &question].concat());
        assert_eq!((server.answers().len(), server.asked().len()), (0, 0), "{what} in a datagram");
        if what == "a client at port 0" {
            continue;
        }
        let mut stream = server.connect();
        stream.peer.send(&[&octets[..], &frame(&question)].concat());
        server.settle();
        assert_eq!((stream.answers().len(), server.asked().len()), (0, 0), "{what} over a stream");
        // Half a header may go on.
        server.advance(SECOND * 6);
        assert_eq!(stream.peer.ending(), Some(Ending::Finished), "{what}");
    }
}

#[test]
fn a_header_that_takes_too_long_ends_the_stream() {
    let mut server = server();
    let stream = server.connect();
    stream.peer.send(b"PROXY");
    server.advance(SECOND * 4);
    assert_eq!(stream.peer.ending(), None);
    server.advance(SECOND * 2);
    assert_eq!(stream.peer.ending(), Some(Ending::Finished));
}

#[test]
fn peers_that_are_not_listed_are_who_they_are() {
    let mut server = Server::new(Setup { proxies: &["192.0.2.0/24"], ..Setup::default() });
    let mut stream = server.connect();
    stream.send(&[a("www")]);
    server.settle();
    assert_eq!((server.asked().len(), stream.answers().len()), (1, 0));
    stream.peer.send(V1_LOCAL);
    server.settle();
    server.advance(SECOND * 6);
    assert_eq!(stream.answers().len(), 1);
    assert_eq!(stream.peer.ending(), Some(Ending::Finished), "to them it is a question that never ends");
    server.send_octets(local(4000), &[V1_LOCAL, &a("www").octets()].concat());
    let answers = server.answers();
    assert!(answers.iter().all(|(_, answer)| answer.rcode != Rcode::NOERROR));
}
