//! What is answered from the cache, and what a peer can make of that.

use std::sync::mpsc::channel;

use crate::bench::{SECOND, Server, Setup, get, kept, private, request, response};

#[test]
fn what_may_be_kept_is_asked_for_once() {
    let mut server = Server::with_one_backend();
    assert!(server.fetch(&get("/", ""), &kept("one")).ends_with("one"));
    assert!(server.hit(&get("/", "")).ends_with("one"));
    assert!(server.hit(&request("HEAD", "/", "")).ends_with("\r\n\r\n"));
    server.assert_it_comes_to_rest("a hit");
}

#[test]
fn an_unsafe_request_makes_out_of_date_what_was_answered_from_the_view() {
    for target in ["/a", "http://example.org/a", "/%61", "/b/../a"] {
        let mut server = Server::with_one_backend();
        server.fetch(&get("/a", ""), &kept("old"));
        // Now it is in the engine's view.
        server.hit(&get("/a", ""));
        server.hit(&get("/a", ""));
        let posted = server.fetch(&request("POST", target, "Content-Length: 0\r\n"), &private("posted"));
        assert!(posted.ends_with("posted"), "{target}: {posted}");
        assert!(server.fetch(&get("/a", ""), &kept("new")).ends_with("new"), "{target}");
    }
}

/// A backend gets a path as it was sent: forms of one path are kept apart, and go out of date together.
#[test]
fn all_forms_of_a_path_go_out_of_date_together() {
    let mut server = Server::with_one_backend();
    let forms = ["/a/b", "/a//b", "/a/%62", "/a/./b", "/x/../a/b"];
    for form in forms {
        assert!(server.fetch(&get(form, ""), &kept(form)).ends_with(form));
    }
    for form in forms {
        assert!(server.hit(&get(form, "")).ends_with(form));
    }
    server.fetch(&request("POST", "/a/b", "Content-Length: 0\r\n"), &private("posted"));
    for form in forms {
        assert!(server.fetch(&get(form, ""), &kept("new")).ends_with("new"), "{form}");
    }
}

#[test]
fn a_failed_unsafe_request_changes_nothing() {
    let mut server = Server::with_one_backend();
    server.fetch(&get("/a", ""), &kept("old"));
    server.fetch(&request("POST", "/a", "Content-Length: 0\r\n"), "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    assert!(server.hit(&get("/a", "")).ends_with("old"));
}

/// While a worker looks into the store, other requests make keys of their own.
#[test]
fn a_request_that_waits_for_the_store_is_answered_with_its_own_object() {
    let mut server = Server::with_one_backend();
    server.fetch(&get("/mine", ""), &kept("mine"));
    server.fetch(&get("/other", ""), &kept("other"));
    server.hit(&get("/other", ""));
    let (cache, (held, is_held), (let_go, may_go)) = (server.cache.clone(), channel(), channel::<()>());
    let holder = std::thread::spawn(move || {
        let mut is_first = true;
        cache.purge_if(|_| {
            if std::mem::take(&mut is_first) {
                held.send(()).unwrap();
                may_go.recv().unwrap();
            }
            false
        });
    });
    is_held.recv().unwrap();
    let worker = server.hold_worker();
    let mut waits = server.connect();
    waits.send(get("/mine", ""));
    let mut quick = server.connect();
    for _ in 0..3 {
        server.pass();
    }
    quick.send(get("/other", ""));
    for _ in 0..3 {
        server.pass();
    }
    assert!(quick.text().ends_with("other"), "what is in the view needs no store");
    // An event of its own, with another's key at hand.
    waits.send(get("/other", ""));
    for _ in 0..3 {
        server.pass();
    }
    assert_eq!(waits.text(), "");
    let_go.send(()).unwrap();
    holder.join().unwrap();
    drop(worker);
    server.settle();
    let answers = waits.text();
    let (mine, other) = (answers.find("mine"), answers.find("other"));
    assert!(mine.is_some() && mine < other, "{answers}");
}

#[test]
fn a_failed_refresh_in_the_background_is_tried_again() {
    let mut server = Server::new(Setup { attempts: 1, ..Setup::default() });
    server.fetch(&get("/", ""), &response("Cache-Control: max-age=1, stale-while-revalidate=600\r\n", "old"));
    server.advance(2 * SECOND);
    for _ in 0..2 {
        assert!(server.client(get("/", "")).text().ends_with("old"));
        let (backend, _) = server.asked();
        backend.peer.reset();
        server.settle();
    }
    assert!(server.client(get("/", "")).text().ends_with("old"));
    let (backend, _) = server.asked();
    backend.send(kept("new"));
    server.settle();
    assert!(server.hit(&get("/", "")).ends_with("new"));
    server.assert_it_comes_to_rest("refreshes");
}

/// Nobody reads it, so nobody makes room in it.
#[test]
fn a_refresh_that_turns_out_too_long_or_private_ends() {
    let long = "x".repeat(600_000);
    for answer in [kept(&long), private(&long), private("short")] {
        let mut server = Server::with_one_backend();
        server.fetch(&get("/", ""), &response("Cache-Control: max-age=1, stale-while-revalidate=600\r\n", "old"));
        server.advance(2 * SECOND);
        assert!(server.client(get("/", "")).text().ends_with("old"));
        let (backend, _) = server.asked();
        backend.send(answer);
        server.settle();
        server.assert_nothing_is_left("a refresh");
        assert!(server.client(get("/", "")).text().ends_with("old"));
        assert!(server.accept().is_some() || backend.peer.ending().is_none(), "it is asked for again");
    }
}

#[test]
fn a_validation_holds_though_the_backend_resets_the_connection_behind_it() {
    let mut server = Server::with_one_backend();
    server.fetch(&get("/", ""), &response("Cache-Control: max-age=1\r\nETag: \"1\"\r\n", "same"));
    server.advance(2 * SECOND);
    let mut client = server.client(get("/", ""));
    let (backend, asked) = server.asked();
    assert!(asked.contains("If-None-Match: \"1\""), "{asked}");
    let held = server.hold_worker();
    backend.send("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nCache-Control: max-age=60\r\n\r\n");
    server.settle();
    backend.peer.reset();
    server.settle();
    drop(held);
    server.settle();
    assert!(client.text().ends_with("same"));
    server.assert_it_comes_to_rest("a validation");
}

/// It would answer for ever: a flight that is over and still joined never grows old.
#[test]
fn a_response_whose_connection_is_reset_while_it_is_stored_is_not_answered_with_for_ever() {
    let mut server = Server::with_one_backend();
    let mut client = server.client(get("/", ""));
    let (backend, _) = server.asked();
    let held = server.hold_worker();
    backend.send(response("Cache-Control: max-age=1\r\n", "old"));
    server.settle();
    backend.peer.reset();
    server.settle();
    drop(held);
    server.settle();
    assert!(client.text().ends_with("old"));
    server.advance(5 * SECOND);
    assert!(server.fetch(&get("/", ""), &kept("new")).ends_with("new"));
    server.assert_it_comes_to_rest("a response");
}

#[test]
fn what_is_purged_while_it_is_under_way_is_not_answered_with_afterwards() {
    let mut server = Server::with_one_backend();
    let mut first = server.client(get("/a", ""));
    let (backend, _) = server.asked();
    server.fetch(&request("POST", "/a", "Content-Length: 0\r\n"), &private("posted"));
    backend.send(kept("before"));
    backend.peer.finish();
    server.settle();
    assert!(first.text().ends_with("before"), "it asked before");
    assert!(server.fetch(&get("/a", ""), &kept("after")).ends_with("after"));
}

/// The sweep has forgotten the purge when the response comes.
#[test]
fn what_is_purged_and_swept_while_it_is_under_way_is_not_kept() {
    use afpa_http::remote::Effect;
    use afpa_http::remote::purge::{Purge, Target};
    let mut server = Server::with_one_backend();
    server.client(get("/a", ""));
    let (backend, _) = server.asked();
    let target = Target::Prefix { host: None, path: b"/a".as_slice().into() };
    server.relay_shared.purges.enter(Purge { target, effect: Effect::Removes });
    server.relay_shared.purges.sweep(&server.cache);
    backend.send(kept("before"));
    server.settle();
    assert!(server.client(get("/a", "")).text().is_empty(), "it is asked for again");
}

/// What a body says of a request is in no key, and what comes behind a head that was answered early is no request.
#[test]
fn a_get_with_a_body_is_never_answered_from_the_cache() {
    let hidden = get("/hidden", "");
    let chunked = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for (fields, body) in [
        ("Transfer-Encoding: chunked\r\n".to_owned(), chunked),
        (format!("Content-Length: {}\r\n", hidden.len()), hidden.clone()),
    ] {
        let mut server = Server::with_one_backend();
        server.fetch(&get("/", ""), &kept("kept"));
        server.hit(&get("/", ""));
        let mut client = server.client(get("/", &fields) + &body + &get("/", ""));
        let (mut backend, asked) = server.asked();
        assert!(asked.starts_with("GET / "), "{asked}");
        assert!(backend.octets().windows(7).any(|window| window == b"/hidden"), "as a body");
        backend.send(private("answer"));
        server.settle();
        let answers = client.text();
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
        assert!(answers.ends_with("kept"), "{answers}");
    }
}

#[test]
fn a_chunked_body_behind_a_request_that_is_refused_is_no_request() {
    let hidden = get("/hidden", "");
    let body = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for head in [
        request("POST", "/%00", "Transfer-Encoding: chunked\r\n"),
        request("GET", "/", "Cache-Control: only-if-cached\r\nTransfer-Encoding: chunked\r\n"),
        request("POST", "/fixed", "Transfer-Encoding: chunked\r\n"),
        request("POST", "/moved", "Transfer-Encoding: chunked\r\n"),
        request("POST", "/absent", "Transfer-Encoding: chunked\r\n"),
    ] {
        let mut server = Server::new(Setup { routes: answering(), ..Setup::default() });
        let mut client = server.client(head.clone() + &body);
        while let Some(backend) = server.accept() {
            backend.send(private(""));
            server.settle();
        }
        let answers = client.text();
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{head}: {answers}");
    }
}

/// Routes that answer by themselves, and one to a pool.
fn answering() -> Vec<afpa_routing::Route> {
    use afpa_routing::{PathCondition, Route, Target};
    let fixed = Target::Respond { status: 200, content_type: "text/plain".into(), body: b"fixed".as_slice().into() };
    let moved = Target::Redirect { status: 302, location: "/there".parse().unwrap() };
    vec![
        Route::new(PathCondition::Exact("/fixed".into()), fixed),
        Route::new(PathCondition::Exact("/moved".into()), moved),
        crate::bench::cached(PathCondition::Exact("/".into()), 0),
    ]
}
