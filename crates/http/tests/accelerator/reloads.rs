//! What an operator decides changes while requests are under way.

use afpa_routing::PathCondition;

use crate::bench::{Server, Setup, cached, get, kept, private, response};

fn pools(names: &[&'static str]) -> Setup {
    let routes = names.iter().enumerate();
    let routes = routes.map(|(number, name)| cached(PathCondition::Prefix(format!("/{name}")), number)).collect();
    Setup { pools: names.to_vec(), routes, ..Setup::default() }
}

/// A pool's number is its place in a list. What was routed under one list is not for whoever has the place in another.
#[test]
fn a_request_stays_with_its_pool_when_the_numbers_change() {
    let mut server = Server::new(pools(&["one", "two"]));
    // The second waits for the first, whose answer turns out to be for it alone; then it asks for itself.
    let mut clients = [server.client(get("/one", "")), server.client(get("/one", ""))];
    let (backend, _) = server.asked();
    let port = backend.port;
    server.reload(&pools(&["two", "one"]));
    backend.send(private("first"));
    backend.peer.finish();
    server.settle();
    let (other, _) = server.asked();
    assert_eq!(other.port, port, "the same pool");
    other.send(private("second"));
    server.settle();
    assert!(clients[0].text().ends_with("first") && clients[1].text().ends_with("second"));
    server.assert_nothing_is_left("a reload");
}

#[test]
fn a_request_whose_pool_and_policy_are_gone_ends_as_it_began() {
    let before = || {
        let mut setup = pools(&["one", "two"]);
        setup.policies = 2;
        for route in &mut setup.routes {
            route.caching = Some(1);
        }
        setup
    };
    for body in ["short".to_owned(), "x".repeat(200_000)] {
        let mut server = Server::new(before());
        let mut client = server.client(get("/two", ""));
        let (backend, _) = server.asked();
        server.reload(&pools(&["one"]));
        backend.send(kept(&body));
        server.settle();
        assert!(client.text().ends_with(&body));
        assert_eq!(server.client(get("/two", "")).statuses(), [404]);
        server.reload(&before());
        if body == "short" {
            assert!(server.hit(&get("/two", "")).ends_with("short"));
        }
        server.assert_nothing_is_left("a pool that is gone");
    }
}

#[test]
fn a_backend_that_leaves_gets_no_more_requests_and_ends_those_it_has() {
    let mut server = Server::new(Setup { backends: 2, ..Setup::default() });
    let mut clients = [server.client(get("/1", "")), server.client(get("/2", ""))];
    let mut backends = [server.accept().unwrap(), server.accept().unwrap()];
    backends.sort_by_key(|backend| backend.port);
    server.reload(&Setup { backends: 1, ..Setup::default() });
    for backend in &mut backends {
        let asked = backend.request();
        backend.send(private(&asked[..6]));
    }
    server.settle();
    assert!(clients[0].text().ends_with("GET /1") && clients[1].text().ends_with("GET /2"));
    for _ in 0..4 {
        let mut client = server.client(get("/3", ""));
        assert!(backends[0].request().starts_with("GET /3"));
        assert!(backends[1].try_request().is_none());
        backends[0].send(private("3"));
        server.settle();
        assert!(client.text().ends_with('3'));
    }
    server.assert_nothing_is_left("a backend that is gone");
}

#[test]
fn reloads_lose_nothing() {
    let mut server = Server::new(Setup { backends: 3, ..Setup::default() });
    let mut clients = Vec::new();
    let mut backends = Vec::new();
    for round in 0..60 {
        clients.push(server.client(get(&format!("/{round}"), "")));
        server.reload(&Setup { backends: 1 + (round % 3) as u8, ..Setup::default() });
        backends.extend(std::iter::from_fn(|| server.accept()));
        if round % 3 == 2 {
            for backend in &mut backends {
                while let Some(asked) = backend.try_request() {
                    let path = asked.split(' ').nth(1).unwrap();
                    backend.send(response("Cache-Control: no-store\r\n", path));
                }
            }
            server.settle();
        }
    }
    for (round, client) in clients.iter_mut().enumerate() {
        let text = client.text();
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with(&format!("\r\n\r\n/{round}")), "{round}: {text}");
    }
    server.assert_nothing_is_left("reloads");
}
