//! Requests and responses that arrive in pieces, wherever they are cut.

use crate::bench::{Backend, Server, get, responses};

/// What a client asks, what a backend answers, and what of the answer the client gets.
const EXCHANGES: &[(&str, &str, &[u8])] = &[
    (
        "GET /a?b HTTP/1.1\r\nHost: example.org\r\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    (
        "POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 4\r\n\r\nbody",
        "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nDigest: z\r\n\r\n",
        b"hello",
    ),
    (
        "PUT / HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;a=b\r\ndy\r\n0\r\nT: x\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
        b"",
    ),
];

/// What arrived at the backend: the head without what only we write, and the body.
fn asked(backend: &mut Backend) -> (String, Vec<u8>) {
    let head = backend.request();
    let body = backend.octets().to_vec();
    backend.unread.clear();
    let body = if head.contains("chunked") { crate::bench::chunks(&body).unwrap().0 } else { body };
    (head, body)
}

#[test]
fn a_request_may_be_cut_anywhere() {
    for &(request, answer, expected) in EXCHANGES {
        let mut whole = None;
        for at in 1..request.len() {
            let mut server = Server::with_one_backend();
            let mut client = server.client(&request[..at]);
            client.send(&request[at..]);
            server.settle();
            let (mut backend, _) = (server.accept().unwrap(), ());
            let asked = asked(&mut backend);
            assert_eq!(&asked, whole.get_or_insert_with(|| asked.clone()), "cut at {at}");
            backend.send(answer);
            server.settle();
            let answers = responses(client.octets()).unwrap();
            assert!(answers.len() == 1 && answers[0].body == expected, "cut at {at}: {answers:?}");
            server.assert_nothing_is_left("a request in pieces");
        }
    }
}

#[test]
fn a_response_may_be_cut_anywhere() {
    for &(request, answer, expected) in EXCHANGES {
        let mut whole: Option<Vec<u8>> = None;
        for at in 1..answer.len() {
            let mut server = Server::with_one_backend();
            let mut client = server.client(request);
            let mut backend = server.accept().unwrap();
            asked(&mut backend);
            backend.send(&answer[..at]);
            server.settle();
            backend.send(&answer[at..]);
            server.settle();
            let answers = responses(client.octets()).unwrap();
            assert!(answers.len() == 1 && answers[0].body == expected, "cut at {at}: {answers:?}");
            assert_eq!(&answers[0].body, whole.get_or_insert_with(|| answers[0].body.clone()));
            // The connection of both is good for another.
            client.read.clear();
            client.send(get("/other", ""));
            server.settle();
            assert!(backend.request().starts_with("GET /other "), "cut at {at}");
            backend.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother");
            server.settle();
            assert!(client.text().ends_with("other"), "cut at {at}");
            server.assert_nothing_is_left("a response in pieces");
        }
    }
}

#[test]
fn octet_by_octet() {
    for &(request, answer, expected) in EXCHANGES {
        let mut server = Server::with_one_backend();
        let mut client = server.connect();
        for octet in request.bytes() {
            client.send([octet]);
            server.pass();
        }
        server.settle();
        let mut backend = server.accept().unwrap();
        asked(&mut backend);
        for octet in answer.bytes() {
            backend.send([octet]);
            server.settle();
        }
        let answers = responses(client.octets()).unwrap();
        assert!(answers.len() == 1 && answers[0].body == expected, "{answers:?}");
        server.assert_it_comes_to_rest("octets");
    }
}
