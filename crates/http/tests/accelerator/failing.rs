//! Backends that are down, slow, broken, or lie.

use afpa_engine::memory::Ending;

use crate::bench::{SECOND, Server, Setup, get, kept, private, request};

/// What a backend sends instead of a response, and whether it closes then.
const GARBAGE: &[(&str, bool)] = &[
    ("", true),
    ("HTTP/1.1 20", true),
    ("HTTP/1.1 200 OK\r\nContent-", true),
    ("garbage\r\n\r\n", false),
    ("<html>HTTP/0.9</html>\r\n", false),
    ("HTTP/0.9 200 OK\r\n\r\n", false),
    ("HTTP/2.0 200 OK\r\n\r\n", false),
    ("HTTP/1.1 99 No\r\n\r\n", false),
    ("HTTP/1.1 600 No\r\n\r\n", false),
    ("HTTP/1.1 2000 OK\r\n\r\n", false),
    ("HTTP/1.1  200 OK\r\n\r\n", false),
    ("\r\nHTTP/1.1 200 OK\r\n\r\n", false),
    ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\n Content-Length: 0\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", false),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", false),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\n", false),
    ("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello", false),
];

#[test]
fn what_is_no_response_is_answered_with_502_and_nothing_of_it_is_kept() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(9000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(60));
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
    let others = [(&*long, false), (&*many, false), (&*flood, false)];
    for &(octets, closes) in GARBAGE.iter().chain(&others) {
        let what = octets.escape_default().to_string();
        let mut server = Server::new(Setup { attempts: 1, ..Setup::default() });
        let mut client = server.client(get("/", ""));
        let (backend, _) = server.asked();
        backend.send(octets);
        if closes {
            backend.peer.finish();
        }
        server.settle();
        assert_eq!(client.statuses(), [502], "{what}");
        assert!(backend.peer.ending().is_some(), "{what}: its connection is not used again");
        assert_eq!(server.failures(), 1, "{what}");
        assert!(server.fetch(&get("/", ""), &kept("whole")).ends_with("whole"), "{what}");
        client.send(get("/", ""));
        server.settle();
        assert!(client.text().ends_with("whole"), "{what}: the client's connection goes on");
        server.assert_it_comes_to_rest(&what);
    }
}

/// Bodies that do not end as their heads say.
#[test]
fn a_body_that_is_cut_off_or_broken_is_never_made_whole() {
    let counted = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, body, closes) in [
        (counted, "hello", true),
        (counted, "", true),
        (chunked, "5\r\nhello\r\n", true),
        (chunked, "5\r\nhel", true),
        (chunked, "5\r\nhello\r\n0\r\n", true),
        (chunked, "5\r\nhello\r\nz\r\n", false),
        (chunked, "5\r\nhelloworld\r\n", false),
        (chunked, "-5\r\nhello\r\n", false),
        (chunked, "0x5\r\nhello\r\n", false),
        (chunked, "ffffffffffffffffff\r\nhello\r\n", false),
        (chunked, "5\nhello\r\n", false),
        (chunked, "0\r\nX Y: z\r\n\r\n", false),
    ] {
        let what = format!("{head}{body}");
        let mut server = Server::with_one_backend();
        let mut client = server.client(get("/", ""));
        let (backend, _) = server.asked();
        backend.send(head);
        server.settle();
        backend.send(body);
        if closes {
            backend.peer.finish();
        }
        server.settle();
        assert_eq!(client.ending(), Some(Ending::Reset), "{what}");
        let (whole, _) = crate::bench::read_responses(&client.read);
        assert_eq!(whole, [], "{what}");
        assert!(server.fetch(&get("/", ""), &kept("whole")).ends_with("whole"), "{what}");
        server.assert_it_comes_to_rest(&what);
    }
}

#[test]
fn what_comes_behind_a_response_answers_nothing() {
    for behind in [kept("poison"), "x".into(), "HTTP/1.1 ".into()] {
        for apart in [false, true] {
            let mut server = Server::with_one_backend();
            let mut client = server.client(get("/", ""));
            let (backend, _) = server.asked();
            backend.send(private("answer"));
            if apart {
                server.settle();
            }
            backend.send(&behind);
            server.settle();
            assert!(client.text().ends_with("answer"));
            assert!(backend.peer.ending().is_some(), "{behind}");
            assert!(server.fetch(&get("/other", ""), &kept("other")).ends_with("other"));
            server.assert_it_comes_to_rest("two responses");
        }
    }
}

#[test]
fn an_idle_connection_that_is_closed_costs_nothing() {
    for resets in [false, true] {
        let mut server = Server::new(Setup { attempts: 1, ..Setup::default() });
        server.client(get("/", ""));
        let (backend, _) = server.asked();
        backend.send(private("one"));
        server.settle();
        // At once with the next request, which has been given the connection already.
        let client = server.connect();
        client.send(request("POST", "/", "Content-Length: 0\r\n"));
        if resets {
            backend.peer.reset()
        } else {
            backend.peer.finish()
        }
        server.settle();
        let (backend, asked) = server.asked();
        assert!(asked.starts_with("POST"), "{asked}");
        backend.send(private("two"));
        server.settle();
        let mut client = client;
        assert!(client.text().ends_with("two"));
        assert_eq!(server.failures(), 0, "that says nothing of the backend");
        server.assert_it_comes_to_rest("an idle connection");
    }
}

/// The reset is handled before the connection hears what it was given.
#[test]
fn a_request_that_was_given_to_a_connection_which_is_gone_goes_to_another() {
    let mut server = Server::new(Setup { attempts: 1, ..Setup::default() });
    let client = server.connect();
    let mut client = {
        client.send(get("/", ""));
        server.settle();
        client
    };
    let (backend, _) = server.asked();
    backend.send(private("one"));
    server.settle();
    client.text();
    client.send(get("/", ""));
    backend.peer.reset();
    server.settle();
    let (backend, _) = server.asked();
    backend.send(private("two"));
    server.settle();
    assert!(client.text().ends_with("two"));
    assert_eq!(server.failures(), 0);
}

#[test]
fn a_get_is_asked_again_when_its_connection_ends_without_an_answer_and_a_post_is_not() {
    for (method, again) in [("GET", true), ("HEAD", true), ("PUT", true), ("POST", false), ("PATCH", false)] {
        let mut server = Server::new(Setup { backends: 2, ..Setup::default() });
        let mut client = server.client(request(method, "/", "Content-Length: 0\r\n"));
        let (first, _) = server.asked();
        first.peer.finish();
        server.settle();
        match again {
            true => {
                let (second, asked) = server.asked();
                assert!(asked.starts_with(method) && second.port != first.port, "{asked}");
                second.send("HTTP/1.1 204 No Content\r\n\r\n");
                server.settle();
                assert!(client.text().starts_with("HTTP/1.1 204"), "{method}");
            }
            false => assert!(client.text().starts_with("HTTP/1.1 502"), "{method}"),
        }
        server.assert_it_comes_to_rest(method);
    }
}

#[test]
fn a_backend_that_says_nothing_is_given_up() {
    let mut server = Server::new(Setup { attempts: 1, ..Setup::default() });
    let mut client = server.client(get("/", ""));
    let (backend, _) = server.asked();
    server.advance(31 * SECOND);
    assert_eq!(client.statuses(), [504]);
    assert_eq!(backend.peer.ending(), Some(Ending::Reset));
    server.assert_it_comes_to_rest("silence");
}

#[test]
fn a_backend_that_stops_amid_its_body_is_cut_off() {
    let mut server = Server::with_one_backend();
    let mut client = server.client(get("/", ""));
    let (backend, _) = server.asked();
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    server.advance(21 * SECOND);
    assert_eq!((client.ending(), backend.peer.ending()), (Some(Ending::Reset), Some(Ending::Reset)));
    server.assert_it_comes_to_rest("a stop");
}

#[test]
fn those_for_whom_there_is_no_connection_wait_and_then_hear_503() {
    let mut server = Server::new(Setup { max_connections: 1, pending: 2, attempts: 1, ..Setup::default() });
    let mut first = server.client(get("/1", ""));
    let (mut backend, _) = server.asked();
    let mut waiting = [server.client(get("/2", "")), server.client(get("/3", ""))];
    let mut beyond = server.client(get("/4", ""));
    assert_eq!(beyond.statuses(), [503]);
    backend.send(private("1"));
    server.settle();
    assert!(first.text().ends_with('1') && backend.request().starts_with("GET /2 "));
    server.advance(4 * SECOND);
    assert_eq!(waiting[1].statuses(), [503]);
    backend.send(private("2"));
    server.settle();
    assert!(waiting[0].text().ends_with('2'));
    server.assert_it_comes_to_rest("a queue");
}

/// Those behind it are not left waiting for a connection that there will not be.
#[test]
fn when_the_only_connection_fails_the_next_in_line_gets_another() {
    let mut server = Server::new(Setup { max_connections: 1, attempts: 1, ..Setup::default() });
    let mut first = server.client(get("/1", ""));
    let mut second = server.client(get("/2", ""));
    let (backend, _) = server.asked();
    backend.peer.reset();
    server.settle();
    assert_eq!(first.statuses(), [502]);
    let (backend, asked) = server.asked();
    assert!(asked.starts_with("GET /2 "), "{asked}");
    backend.send(private("2"));
    server.settle();
    assert!(second.text().ends_with('2'));
    server.assert_it_comes_to_rest("a queue");
}

#[test]
fn a_response_before_the_request_has_ended_is_passed_on_and_both_connections_end() {
    let mut server = Server::with_one_backend();
    let mut client = server.client(request("POST", "/", "Content-Length: 1000000\r\n") + "begin");
    let (backend, _) = server.asked();
    backend.send(private("enough"));
    server.settle();
    let text = client.text();
    assert!(text.contains("Connection: close\r\n") && text.ends_with("enough"), "{text}");
    assert!(backend.peer.ending().is_some());
    client.send("x".repeat(2000));
    client.send(get("/hidden", ""));
    server.settle();
    assert_eq!(client.text(), "");
    assert!(server.network.accept().is_none());
    server.assert_it_comes_to_rest("an early response");
}

/// A backend may have closed an idle connection when the request was already on its way: that costs neither an answer nor
/// a retry.
#[test]
fn a_connection_that_was_closed_under_a_request_is_replaced() {
    for resets in [false, true] {
        for (method, again) in [("GET", true), ("PUT", true), ("POST", false)] {
            let mut server = Server::new(Setup { attempts: 1, ..Setup::default() });
            let mut client = server.client(get("/", ""));
            let (mut backend, _) = server.asked();
            backend.send(private("one"));
            server.settle();
            client.text();
            client.send(request(method, "/", "Content-Length: 1\r\n") + "x");
            server.settle();
            assert!(backend.request().starts_with(method));
            if resets {
                backend.peer.reset()
            } else {
                backend.peer.finish()
            }
            server.settle();
            if again {
                let (second, asked) = server.asked();
                assert!(asked.starts_with(method), "{asked}");
                // A new one that is closed as well is a failure.
                second.peer.finish();
                server.settle();
            }
            assert_eq!(client.statuses(), [502], "{method}");
            assert_eq!(server.failures(), 1, "{method}");
            server.assert_it_comes_to_rest(method);
        }
    }
}
