//! Request bodies on their way to a backend, and what else flows both ways.

use afpa_engine::memory::{Ending, MemoryConfig};

use crate::bench::{SECOND, Server, Setup, chunks, get, private, request, response};

#[test]
fn bodies_arrive_whole_however_they_are_framed() {
    let body: String = (0..300_000).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    for is_chunked in [false, true] {
        let mut server = Server::with_one_backend();
        let fields = match is_chunked {
            true => "Transfer-Encoding: chunked\r\n".to_owned(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        let mut client = server.client(request("POST", "/", &fields));
        let (mut backend, asked) = server.asked();
        assert!(asked.contains(fields.trim_end()), "{asked}");
        for piece in body.as_bytes().chunks(7001) {
            match is_chunked {
                true => client.send([format!("{:x};x=y\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()),
                false => client.send(piece),
            }
            server.settle();
            backend.octets();
        }
        if is_chunked {
            client.send("0\r\nX-Trailer: dropped\r\n\r\n");
        }
        client.send(get("/next", ""));
        server.settle();
        let arrived = backend.octets().to_vec();
        let (read, length) = if is_chunked { chunks(&arrived).unwrap() } else { (arrived.clone(), arrived.len()) };
        assert!(read == body.as_bytes() && length == arrived.len());
        backend.unread.clear();
        backend.send(private("thanks"));
        server.settle();
        assert!(client.text().ends_with("thanks"));
        assert!(backend.request().starts_with("GET /next "), "the next request is on its own");
        backend.send(private("next"));
        server.settle();
        assert!(client.text().ends_with("next"));
        let (sent, received) = server.transferred();
        assert!((300_000..320_000).contains(&sent) && (80..1000).contains(&received), "{sent}, {received}");
        server.assert_it_comes_to_rest("a body");
    }
}

#[test]
fn a_backend_that_does_not_read_holds_up_the_client() {
    let network = MemoryConfig { window: 1000, send_buffer: 5000, ..MemoryConfig::default() };
    let mut server = Server::new(Setup { network, ..Setup::default() });
    let mut client = server.client(request("POST", "/", "Content-Length: 3000000\r\n"));
    let (backend, _) = server.asked();
    client.send(vec![b'x'; 3_000_000]);
    for _ in 0..2000 {
        server.pass();
    }
    let received = server.handle.stats().received_octets.get();
    assert!(received < 400_000, "{received} octets were taken of the client");
    let mut arrived = 0;
    while arrived < 3_000_000 {
        arrived += backend.peer.read(usize::MAX).len();
        server.pass();
    }
    backend.send(private("thanks"));
    for _ in 0..200 {
        server.pass();
        client.octets();
    }
    assert!(client.text().ends_with("thanks"));
    server.assert_it_comes_to_rest("a slow backend");
}

#[test]
fn a_short_body_is_sent_again_and_a_long_one_is_not() {
    for (length, again) in [(5_000, true), (100_000, false)] {
        let body = "x".repeat(length);
        let mut server = Server::new(Setup { backends: 2, ..Setup::default() });
        let mut client = server.client(request("PUT", "/", &format!("Content-Length: {length}\r\n")) + &body);
        let (mut first, _) = server.asked();
        assert_eq!(first.octets().len(), length);
        first.peer.finish();
        server.settle();
        if again {
            let (mut second, _) = server.asked();
            assert!(second.octets() == body.as_bytes());
            second.send(private("thanks"));
            server.settle();
            assert!(client.text().ends_with("thanks"));
        } else {
            assert_eq!(client.statuses(), [502]);
        }
        server.assert_it_comes_to_rest("a body that is sent again");
    }
}

/// The backend's time begins when it has the request.
#[test]
fn a_long_upload_is_no_slow_backend() {
    let mut server = Server::with_one_backend();
    let mut client = server.client(request("POST", "/", "Content-Length: 100\r\n"));
    let (backend, _) = server.asked();
    for _ in 0..10 {
        client.send("0123456789");
        server.advance(10 * SECOND);
    }
    server.advance(19 * SECOND);
    backend.send(private("thanks"));
    server.settle();
    let text = client.text();
    assert!(text.ends_with("thanks"), "{text}");
    assert_eq!(server.failures(), 0);
}

#[test]
fn a_client_that_stops_amid_its_body_is_at_fault_itself() {
    for method in ["POST", "PUT"] {
        let mut server = Server::new(Setup { backends: 2, ..Setup::default() });
        let mut client = server.client(request(method, "/", "Content-Length: 100\r\n") + "begin");
        let (backend, _) = server.asked();
        server.advance(31 * SECOND);
        assert_eq!(client.statuses(), [408], "{method}");
        assert!(client.ending().is_some() && backend.peer.ending().is_some());
        assert_eq!(server.failures(), 0, "not the backend");
        assert!(server.accept().is_none(), "nor is another asked");
        server.assert_it_comes_to_rest(method);
    }
}

#[test]
fn what_is_no_body_is_refused_and_the_backend_gets_no_end_of_it() {
    for (body, finishes, status) in
        [("5\r\nhello\r\nz\r\n", false, 400), ("5\r\nhel", true, 400), ("5\r\nhelloX\r\n", false, 400)]
    {
        let mut server = Server::with_one_backend();
        let mut client = server.client(request("POST", "/", "Transfer-Encoding: chunked\r\n") + "1\r\nx\r\n");
        let (mut backend, _) = server.asked();
        client.send(body);
        if finishes {
            client.peer.finish();
        }
        server.settle();
        assert_eq!(client.statuses(), [status], "{body}");
        assert!(chunks(backend.octets()).is_none(), "{body}");
        assert_eq!(backend.peer.ending(), Some(Ending::Reset), "{body}");
        server.assert_it_comes_to_rest(body);
    }
}

/// An error page within a response would be a part of it.
#[test]
fn a_broken_body_amid_the_response_cuts_it_off() {
    let mut server = Server::with_one_backend();
    let mut client = server.client(request("POST", "/", "Transfer-Encoding: chunked\r\n") + "1\r\nx\r\n");
    let (backend, _) = server.asked();
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin");
    server.settle();
    client.send("nonsense\r\n");
    server.settle();
    assert_eq!(client.ending(), Some(Ending::Reset));
    assert_eq!(client.text().matches("HTTP/1.1").count(), 1);
    server.assert_it_comes_to_rest("a broken body");
}

#[test]
fn a_client_that_waits_for_100_gets_it_of_the_backend_or_of_us() {
    let head = request("POST", "/", "Content-Length: 5\r\nExpect: 100-continue\r\n");
    let continues = "HTTP/1.1 100 Continue\r\n\r\n";
    // The backend says so.
    let mut server = Server::with_one_backend();
    let mut client = server.client(&head);
    let (mut backend, asked) = server.asked();
    assert!(asked.to_lowercase().contains("expect: 100-continue"), "{asked}");
    backend.send(continues);
    server.settle();
    assert_eq!(client.text(), continues);
    client.send("hello");
    server.settle();
    assert_eq!(backend.octets(), b"hello");
    backend.send(private("thanks"));
    server.settle();
    assert!(client.text().ends_with("thanks"));
    server.assert_it_comes_to_rest("100 of the backend");
    // It says nothing.
    let mut server = Server::with_one_backend();
    let mut client = server.client(&head);
    let (mut backend, _) = server.asked();
    server.advance(2 * SECOND);
    assert_eq!(client.text(), continues);
    client.send("hello");
    server.settle();
    backend.octets();
    backend.send(private("thanks"));
    server.settle();
    assert!(client.text().ends_with("thanks"));
    server.assert_it_comes_to_rest("a silent backend");
    // It does not want the body.
    let mut server = Server::with_one_backend();
    let mut client = server.client(&head);
    let (backend, _) = server.asked();
    backend.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    server.settle();
    let text = client.text();
    assert!(text.starts_with("HTTP/1.1 417") && text.contains("Connection: close"), "{text}");
    assert!(backend.peer.ending().is_some(), "it may still take what comes for the body");
    server.assert_it_comes_to_rest("417");
}

#[test]
fn early_hints_and_trailers_are_passed_on_and_old_clients_get_neither() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: y\r\n\r\n\
                  HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n\
                  5\r\nhello\r\n0\r\nDigest: x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut server = Server::with_one_backend();
    let mut client = server.client(request("POST", "/", "Content-Length: 0\r\n"));
    let (backend, _) = server.asked();
    backend.send(answer);
    server.settle();
    let text = client.text();
    assert!(text.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("5\r\nhello\r\n0\r\nDigest: x\r\n\r\n"), "{text}");
    let mut server = Server::with_one_backend();
    let mut client = server.client("POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
    let (backend, _) = server.asked();
    backend.send(answer);
    server.settle();
    let text = client.text();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nhello"), "{text}");
    assert!(!text.contains("chunked") && client.ending() == Some(Ending::Finished), "{text}");
    server.assert_it_comes_to_rest("an old client");
}

/// Heads answer HEAD, and their lengths are those of what GET would get.
#[test]
fn an_answer_to_head_has_no_content_and_is_none_to_get() {
    let mut server = Server::with_one_backend();
    let mut client = server.client(request("HEAD", "/", ""));
    let (backend, _) = server.asked();
    backend.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n");
    server.settle();
    let text = client.text();
    assert!(text.contains("Content-Length: 5\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    backend.peer.finish();
    server.settle();
    assert!(server.hit_or_asked(&get("/", "")).is_some(), "a GET asks");
}

#[test]
fn a_part_is_not_the_whole() {
    let mut server = Server::with_one_backend();
    let part = "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nContent-Range: bytes 0-1/5\r\n\
                Content-Length: 2\r\n\r\nhe";
    assert!(server.fetch(&get("/", "Range: bytes=0-1\r\n"), part).ends_with("\r\n\r\nhe"));
    assert!(server.fetch(&get("/", ""), &response("Cache-Control: max-age=60\r\n", "hello")).ends_with("hello"));
    assert!(server.hit(&get("/", "Range: bytes=0-1\r\n")).ends_with("\r\n\r\nhe"));
}
