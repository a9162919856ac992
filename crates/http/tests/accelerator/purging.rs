//! What is taken out of the cache, and from when on.

use afpa_http::Http;
use afpa_http::fetch::Fetch;
use afpa_http::remote::Effect;
use afpa_http::remote::purge::{Purge, Target};
use afpa_routing::{KeyParts, PathCondition, QueryKey};

use crate::bench::{SECOND, Server, Setup, cached, get, kept, response};

impl Server {
    fn purge(&self, target: Target, effect: Effect) {
        self.relay_shared.purges.enter(Purge { target, effect });
    }

    /// Has what two answers are asked for, each from the view.
    fn with(setup: Setup, first: (&str, &str), second: (&str, &str)) -> Server {
        let mut server = Server::new(setup);
        for (request, answer) in [first, second] {
            server.fetch(request, answer);
            server.hit(request);
            server.hit(request);
        }
        server
    }
}

fn prefix(host: Option<&str>, path: &str) -> Target {
    Target::Prefix { host: host.map(|host| host.as_bytes().into()), path: path.as_bytes().into() }
}

fn field(name: &str, value: &str) -> Target {
    Target::Field { name: name.as_bytes().into(), value: value.as_bytes().into() }
}

#[test]
fn what_a_purge_is_about_is_asked_for_again_and_nothing_else() {
    let (this, other) = (get("/a/this", ""), get("/b/other", ""));
    let answer = response("Cache-Control: max-age=60\r\nSurrogate-Key: red blue\r\nX-Kind: news\r\n", "this");
    for (target, is_about, is_about_all) in [
        (Target::All, true, true),
        (prefix(None, "/a/"), true, false),
        (prefix(Some("example.org"), "/a"), true, false),
        (prefix(Some("example.org"), "/"), true, true),
        (prefix(Some("example.com"), "/"), false, false),
        (prefix(None, "/a/this/"), false, false),
        (Target::Surrogate(b"blue".as_slice().into()), true, false),
        (Target::Surrogate(b"blu".as_slice().into()), false, false),
        (field("x-kind", "news"), true, false),
        (field("x-kind", "new"), false, false),
    ] {
        for effect in [Effect::Outdates, Effect::Invalidates, Effect::Removes] {
            let mut server = Server::with(Setup::default(), (&this, &answer), (&other, &kept("other")));
            server.purge(target.clone(), effect);
            assert_eq!(server.hit_or_asked(&this).is_some(), is_about, "{target:?} {effect:?}");
            assert_eq!(server.hit_or_asked(&other).is_some(), is_about_all, "{target:?} {effect:?}");
        }
    }
}

#[test]
fn all_variants_of_a_url_go() {
    let varies = |body: &str| response("Cache-Control: max-age=60\r\nVary: X-Kind\r\n", body);
    let kinds = ["X-Kind: 1\r\n", "X-Kind: 2\r\n"].map(|fields| get("/a?b", fields));
    let mut server = Server::with(Setup::default(), (&kinds[0], &varies("1")), (&kinds[1], &varies("2")));
    for (host, path, query, are_gone) in [
        (Some("example.com"), "/a", Some("b"), false),
        (None, "/a/", Some("b"), false),
        (None, "/a", Some("c"), false),
        (Some("example.org"), "/a", None, false),
        (Some("example.org"), "/a", Some("b"), true),
    ] {
        let target = server.relay.kept_of(host.map(str::as_bytes), path.as_bytes(), query.map(str::as_bytes));
        server.purge(target, Effect::Removes);
        for request in &kinds {
            if are_gone {
                assert!(server.fetch(request, &varies("new")).ends_with("new"));
            } else {
                server.hit(request);
            }
        }
    }
}

/// Whoever purges need not know what else a route's keys have.
#[test]
fn a_url_is_found_whatever_its_route_makes_of_it() {
    let key = |query| KeyParts {
        space: "site route".into(),
        query,
        fields: vec!["x-canary".into()],
        cookies: vec!["beta".into()],
        ..KeyParts::default()
    };
    let names = || vec!["utm".to_owned()];
    for (query, asked, purged) in [
        (QueryKey::All, "/a?b=1", "b=1"),
        (QueryKey::AllBut(names()), "/a?b=1&utm=2", "utm=7&b=1"),
        (QueryKey::AllBut(names()), "/a?utm=2", ""),
        (QueryKey::AllBut(names()), "/a", "utm=1"),
        (QueryKey::Only(names()), "/a?b=1&utm=2", "utm=2"),
        (QueryKey::None, "/a?b=1", "c"),
    ] {
        for host in [true, false] {
            let mut route = cached(PathCondition::Any, 0);
            route.key = KeyParts { host, ..key(query.clone()) };
            let setup = Setup { routes: vec![route], ..Setup::default() };
            let requests = [get(asked, "X-Canary: 1\r\nCookie: beta=1\r\n"), get(asked, "")];
            let mut server = Server::with(setup, (&requests[0], &kept("1")), (&requests[1], &kept("2")));
            let target = server.relay.kept_of(Some(b"example.org"), b"/a", Some(purged.as_bytes()));
            server.purge(target, Effect::Removes);
            for request in &requests {
                assert!(server.hit_or_asked(request).is_some(), "{asked} {purged} {query:?}");
            }
        }
    }
}

#[test]
fn what_is_only_out_of_date_is_validated_and_helps_where_the_backend_fails() {
    let answer = response("Cache-Control: max-age=60\r\nETag: \"1\"\r\n", "old");
    for (effect, validates, helps) in
        [(Effect::Outdates, true, true), (Effect::Invalidates, true, false), (Effect::Removes, false, false)]
    {
        for fails in [false, true] {
            let setup = Setup { attempts: 1, ..Setup::default() };
            let mut server = Server::with(setup, (&get("/", ""), &answer), (&get("/b", ""), &answer));
            server.purge(Target::All, effect);
            let mut client = server.client(get("/", ""));
            let (backend, asked) = server.asked();
            assert_eq!(asked.contains("If-None-Match: \"1\""), validates, "{effect:?}: {asked}");
            if fails {
                backend.peer.reset();
            } else {
                let same = "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nCache-Control: max-age=60\r\n\r\n";
                backend.send(if validates { same.to_owned() } else { kept("new") });
            }
            server.settle();
            let answer = client.text();
            let expected = if fails { helps } else { true };
            assert_eq!(answer.starts_with("HTTP/1.1 200 "), expected, "{effect:?}: {answer}");
            if !fails {
                server.hit(&get("/", ""));
            }
        }
    }
}

#[test]
fn a_sweep_takes_out_what_nobody_asks_for() {
    let (this, other) = (get("/a", ""), get("/b", ""));
    let mut server = Server::with(Setup::default(), (&this, &kept("this")), (&other, &kept("other")));
    server.purge(prefix(None, "/a"), Effect::Removes);
    let purges = server.relay_shared.purges.clone();
    let objects = server.cache.stats().objects;
    assert_eq!((purges.unswept(), purges.swept()), (1, 0));
    assert_eq!(purges.sweep(&server.cache), 1);
    assert_eq!((purges.unswept(), purges.swept()), (0, 1));
    assert_eq!(server.cache.stats().objects, objects - 1);
    server.hit(&other);
    server.fetch(&this, &kept("new"));
    assert!(server.hit(&this).ends_with("new"), "what comes afterwards is not what was purged");
}

#[test]
fn more_purges_than_are_remembered_purge_everything() {
    let (this, other) = (get("/a", ""), get("/b", ""));
    let mut server = Server::with(Setup::default(), (&this, &kept("this")), (&other, &kept("other")));
    (0..5000).for_each(|_| server.purge(prefix(None, "/nothing"), Effect::Removes));
    assert!(server.hit_or_asked(&this).is_some() && server.hit_or_asked(&other).is_some());
}

#[test]
fn octets_are_counted_for_the_backend_that_has_them() {
    let mut server = Server::with_one_backend();
    let answer = kept(&"x".repeat(10_000));
    let mut client = server.client(get("/", ""));
    let (backend, asked) = server.asked();
    backend.send(&answer);
    server.settle();
    assert!(client.text().ends_with('x'));
    assert_eq!(server.transferred(), (asked.len() as u64, answer.len() as u64));
    server.hit(&get("/", ""));
    assert_eq!(server.transferred(), (asked.len() as u64, answer.len() as u64));
}

#[test]
fn octets_of_a_tunnel_are_counted_when_it_has_ended() {
    let mut server = Server::with_one_backend();
    let mut client = server.client(get("/", "Upgrade: x\r\nConnection: upgrade\r\n"));
    let (mut backend, asked) = server.asked();
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    backend.send(switched);
    server.settle();
    assert!(client.text().starts_with("HTTP/1.1 101 "));
    client.send("ping");
    server.settle();
    assert_eq!(backend.octets(), b"ping");
    backend.send("pong!");
    server.settle();
    assert_eq!(client.text(), "pong!");
    backend.peer.finish();
    client.peer.finish();
    server.settle();
    server.advance(100 * SECOND);
    assert_eq!(server.transferred(), (asked.len() as u64 + 4, switched.len() as u64 + 5));
}

#[test]
fn an_engine_tells_what_is_asked_for_and_what_waits() {
    let mut server = Server::new(Setup { max_connections: 1, ..Setup::default() });
    server.fetch(&get("/a?b", ""), &kept("a"));
    (0..500).for_each(|_| _ = server.hit(&get("/a?b", "")));
    let _clients = [server.client(get("/c", "")), server.client(get("/d", "")), server.client(get("/e", ""))];
    let (owner, fetcher) = (server.owner, server.fetcher);
    let (answer, answered) = std::sync::mpsc::channel();
    server.handle.command(move |control| {
        let keys = control.global::<Http>(owner).unwrap().top_keys();
        answer.send((keys, control.global::<Fetch>(fetcher).unwrap().waiting())).unwrap();
    });
    server.settle();
    let (keys, waiting) = answered.recv().unwrap();
    assert_eq!(waiting, [("default".to_owned(), 2)]);
    let most = keys.iter().max_by_key(|key| key.weight).unwrap();
    assert_eq!(&*most.key, b"example.org/a?b");
    assert!((300..=700).contains(&most.requests), "{}", most.requests);
}
