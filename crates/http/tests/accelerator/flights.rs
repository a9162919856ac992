//! Clients who ask for the same at the same time.

use crate::bench::{SECOND, Server, Setup, get, kept, private, response};

#[test]
fn a_crowd_asks_once() {
    let mut server = Server::with_one_backend();
    let mut clients: Vec<_> = (0..1000).map(|_| server.client(get("/", ""))).collect();
    let (backend, _) = server.asked();
    backend.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello");
    server.settle();
    let mut late = server.client(get("/", ""));
    backend.send("world");
    server.settle();
    for client in clients.iter_mut().chain([&mut late]) {
        let text = client.text();
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("helloworld"), "{text}");
    }
    assert!(server.network.accept().is_none());
    drop(clients);
    server.assert_it_comes_to_rest("a crowd");
}

#[test]
fn the_first_may_leave() {
    let mut server = Server::with_one_backend();
    let first = server.client(get("/", ""));
    let (backend, _) = server.asked();
    let mut second = server.client(get("/", ""));
    first.peer.reset();
    server.settle();
    backend.send(kept("hello"));
    server.settle();
    assert!(second.text().ends_with("hello"));
    server.assert_it_comes_to_rest("the second");
}

/// Its request is on its way when nobody is there to want it any more; somebody who comes later is not to wait for it.
#[test]
fn who_comes_when_all_have_left_asks_anew() {
    let mut server = Server::new(Setup { max_connections: 1, ..Setup::default() });
    // One that keeps the only connection busy.
    let mut busy = server.client(get("/busy", ""));
    let (mut backend, _) = server.asked();
    let leaves = server.client(get("/", ""));
    leaves.peer.reset();
    server.settle();
    backend.send(private("busy"));
    server.settle();
    assert!(busy.text().ends_with("busy"));
    let mut comes = server.client(get("/", ""));
    assert!(backend.request().starts_with("GET / "));
    backend.send(kept("hello"));
    server.settle();
    assert!(comes.text().ends_with("hello"));
    server.assert_it_comes_to_rest("who came");
}

#[test]
fn nobody_waits_any_more_for_a_flight_that_failed_and_it_is_forgotten() {
    let mut server = Server::new(Setup { attempts: 1, ..Setup::default() });
    for number in 0..20 {
        let mut client = server.client(get(&format!("/{number}"), ""));
        let (backend, _) = server.asked();
        backend.peer.reset();
        server.settle();
        assert_eq!(client.statuses(), [502]);
        server.assert_nothing_is_left("a failure");
    }
    let leaves = server.client(get("/", ""));
    let (_backend, _) = server.asked();
    leaves.peer.reset();
    server.settle();
    server.assert_nothing_is_left("a client that left");
}

#[test]
fn when_the_backend_fails_all_are_told() {
    let mut server = Server::new(Setup { attempts: 1, ..Setup::default() });
    let mut clients: Vec<_> = (0..10).map(|_| server.client(get("/", ""))).collect();
    let (backend, _) = server.asked();
    backend.peer.reset();
    server.settle();
    assert!(clients.iter_mut().all(|client| client.statuses() == [502]));
    server.assert_it_comes_to_rest("all");
}

#[test]
fn what_is_cut_off_amid_its_body_is_cut_off_for_all_and_asked_for_again() {
    let mut server = Server::with_one_backend();
    let mut clients: Vec<_> = (0..3).map(|_| server.client(get("/", ""))).collect();
    let (backend, _) = server.asked();
    backend.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello");
    server.settle();
    backend.peer.finish();
    server.settle();
    for client in &mut clients {
        assert!(client.ending() == Some(afpa_engine::memory::Ending::Reset) && client.text().ends_with("hello"));
    }
    assert!(server.fetch(&get("/", ""), &kept("whole")).ends_with("whole"));
    server.assert_it_comes_to_rest("a body that was cut off");
}

/// An answer for one is not for those who waited with him, nor do they wait for each other.
#[test]
fn a_private_answer_is_for_who_asked() {
    let mut server = Server::with_one_backend();
    let mut clients: Vec<_> = (0..5).map(|_| server.client(get("/", ""))).collect();
    let (backend, _) = server.asked();
    backend.send(private("answer 0"));
    server.settle();
    let mut backends: Vec<_> = std::iter::from_fn(|| server.accept()).chain([backend]).collect();
    let mut number = 0;
    for backend in &mut backends {
        if backend.try_request().is_some() {
            number += 1;
            backend.send(private(&format!("answer {number}")));
        }
    }
    server.settle();
    assert_eq!(number, 4, "all others at once");
    let mut answers: Vec<_> = clients.iter_mut().map(|client| client.text()).collect();
    answers.sort_by_key(|text| text[text.len() - 1..].to_owned());
    for (number, answer) in answers.iter().enumerate() {
        assert!(answer.ends_with(&format!("answer {number}")), "{answer}");
    }
    server.assert_it_comes_to_rest("private answers");
}

#[test]
fn an_answer_that_varies_is_for_those_who_asked_alike() {
    let mut server = Server::with_one_backend();
    let vary = "Cache-Control: max-age=60\r\nVary: X-Kind\r\n";
    let mut same = [server.client(get("/", "X-Kind: a\r\n")), server.client(get("/", "X-Kind: a\r\n"))];
    let mut other = server.client(get("/", "X-Kind: b\r\n"));
    let (mut backend, _) = server.asked();
    backend.send(response(vary, "for a"));
    server.settle();
    assert!(same.iter_mut().all(|client| client.text().ends_with("for a")));
    let mut second = server.accept();
    let asked = second.as_mut().unwrap_or(&mut backend);
    assert!(asked.request().contains("X-Kind: b"));
    asked.send(response(vary, "for b"));
    server.settle();
    assert!(other.text().ends_with("for b"));
    assert!(server.hit(&get("/", "X-Kind: a\r\n")).ends_with("for a"));
    assert!(server.hit(&get("/", "X-Kind: b\r\n")).ends_with("for b"));
    server.assert_it_comes_to_rest("variants");
}

/// What nobody may keep is read no faster than it is taken.
#[test]
fn a_client_that_does_not_read_holds_up_the_backend_and_is_cut_off() {
    let network = afpa_engine::memory::MemoryConfig { window: 1000, send_buffer: 5000, ..Default::default() };
    for head in ["Cache-Control: private\r\n", "Cache-Control: max-age=60\r\n"] {
        let mut server = Server::new(Setup { network, min_rate: 1000, ..Setup::default() });
        let mut client = server.client(get("/", ""));
        let (backend, _) = server.asked();
        backend.send(response(head, &"x".repeat(3_000_000)));
        for _ in 0..3000 {
            server.pass();
        }
        assert!(server.relay_shared.octets_held() < 500_000, "{} are held", server.relay_shared.octets_held());
        server.advance(30 * SECOND);
        client.octets();
        assert_eq!(client.ending(), Some(afpa_engine::memory::Ending::Reset), "{head}");
        server.assert_nothing_is_left(head);
    }
}

/// Who comes while it may still be kept reads it from its start; who comes later asks anew. Both readers get all of it,
/// each at its pace.
#[test]
fn a_response_that_turns_out_too_long_is_read_by_who_was_there() {
    let network = afpa_engine::memory::MemoryConfig { window: 50_000, send_buffer: 50_000, ..Default::default() };
    let mut server = Server::new(Setup { network, ..Setup::default() });
    let mut readers = [server.client(get("/", "")), server.client(get("/", ""))];
    let (backend, _) = server.asked();
    let body: String = (0..1_000_000).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    backend.send(kept(&body));
    for _ in 0..200 {
        server.pass();
    }
    let mut late = server.client(get("/", ""));
    let (other, _) = server.asked();
    other.send(private("anew"));
    server.settle();
    assert!(late.text().ends_with("anew"));
    for round in 0..3000 {
        server.pass();
        readers[0].octets();
        if round % 3 == 0 {
            let read = readers[1].peer.read(10_000);
            readers[1].read.extend(read);
        }
    }
    for reader in &mut readers {
        server.settle();
        let text = reader.text();
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with(&body), "{} octets", text.len());
    }
    server.assert_nothing_is_left("a long response");
    assert!(server.client(get("/", "")).text().is_empty(), "it was not kept");
}
