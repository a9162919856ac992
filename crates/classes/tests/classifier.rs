//! Which class a request belongs to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use afpa_classes::{
    ClassConfig, ClassError, ClassIndex, Classes, Classifier, HostPattern, MAX_CLASSES, MAX_QUEUE, MAX_RULES, Network,
    NetworkError, RequestView, Rule, TooManyRules, ValueTest,
};
use proptest::prelude::*;

/// Classes called 0, 1, 2 …
fn classes(count: usize) -> Vec<ClassIndex> {
    let config = |number: usize| ClassConfig { name: number.to_string(), ..ClassConfig::default() };
    let classes = Classes::new((0..count).map(config).collect()).unwrap();
    classes.iter().map(|(index, _)| index).collect()
}

fn class(rule: Rule, request: &RequestView<'_>) -> bool {
    let all = classes(2);
    Classifier::new(vec![Rule { class: all[1], ..rule }], all[0]).unwrap().class(request) == all[1]
}

fn from(client: &str) -> RequestView<'static> {
    RequestView { client: client.parse().unwrap(), host: b"example.com", path: b"/", fields: &() }
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

#[test]
fn a_client_is_found_by_its_network() {
    for (networks, client, matches) in [
        (["192.0.2.0/24", "2001:db8::/32"], "192.0.2.255", true),
        (["192.0.2.0/24", "2001:db8::/32"], "192.0.3.0", false),
        (["192.0.2.0/24", "2001:db8::/32"], "::ffff:192.0.2.1", true),
        (["192.0.2.0/24", "2001:db8::/32"], "2001:db8:1::1", true),
        (["192.0.2.7", "::/0"], "192.0.2.7", true),
        (["192.0.2.7", "::/0"], "192.0.2.8", false),
        (["0.0.0.0/0", "::1"], "203.0.113.9", true),
    ] {
        let rule = Rule { clients: networks.iter().map(|text| network(text)).collect(), ..Rule::default() };
        assert_eq!(class(rule, &from(client)), matches, "{networks:?} {client}");
    }
}

#[test]
fn networks_say_what_is_wrong_with_them() {
    for (text, error) in [
        ("", NetworkError::Address),
        ("example.com/8", NetworkError::Address),
        ("192.0.2.0/33", NetworkError::Length(32)),
        ("2001:db8::/+32", NetworkError::Length(128)),
        ("192.0.2.0/", NetworkError::Length(32)),
        ("192.0.2.1/24", NetworkError::HostBits(network("192.0.2.0/24"))),
    ] {
        assert_eq!(text.parse::<Network>(), Err(error), "{text}");
    }
    for text in ["192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1/128"] {
        assert_eq!(network(text).to_string(), text);
    }
}

#[test]
fn hosts_are_exact_or_below() {
    for (pattern, host, matches) in [
        ("example.com", "example.com", true),
        ("example.com", "EXAMPLE.Com", true),
        ("example.com", "example.com:8080", true),
        ("example.com", "example.com.", true),
        ("example.com", "www.example.com", false),
        ("*.example.com", "www.example.com", true),
        ("*.example.com", "a.b.example.COM:443", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "wwwexample.com", false),
        ("[2001:db8::1]", "[2001:db8::1]:443", true),
        ("[2001:db8::1]", "[2001:db8::1]", true),
        ("example.com", "", false),
    ] {
        let rule = Rule { hosts: vec![HostPattern::new(pattern)], ..Rule::default() };
        let request = RequestView { host: host.as_bytes(), ..from("192.0.2.1") };
        assert_eq!(class(rule, &request), matches, "{pattern} {host}");
    }
}

#[test]
fn paths_are_prefixes_of_whole_segments() {
    for (prefix, path, matches) in [
        ("/a", "/a", true),
        ("/a", "/a/", true),
        ("/a", "/a/b", true),
        ("/a", "/ab", false),
        ("/a/", "/a/b", true),
        ("/a/", "/a", true),
        ("/a", "/", false),
        ("/", "/anything", true),
        ("/", "*", false),
    ] {
        let rule = Rule { paths: vec![prefix.to_owned()], ..Rule::default() };
        let request = RequestView { path: path.as_bytes(), ..from("192.0.2.1") };
        assert_eq!(class(rule, &request), matches, "{prefix} {path}");
    }
}

#[test]
fn fields_and_cookies_are_tested() {
    let fields = [
        ("user-agent", "Crawler/1.0"),
        ("x-tier", "one"),
        ("x-tier", "two"),
        ("cookie", "session=abc; plan=\"gold\""),
        ("cookie", "empty="),
    ];
    let request = RequestView { fields: &fields, ..from("192.0.2.1") };
    let equals = |value: &str| ValueTest::Equals(value.as_bytes().to_vec());
    let prefix = |value: &str| ValueTest::Prefix(value.as_bytes().to_vec());
    for (name, test, matches) in [
        ("user-agent", prefix("Crawler/"), true),
        ("user-agent", equals("Crawler/"), false),
        ("x-tier", equals("two"), true),
        ("x-tier", ValueTest::Present, true),
        ("x-other", ValueTest::Present, false),
    ] {
        let rule = Rule { fields: vec![(name.to_owned(), test.clone())], ..Rule::default() };
        assert_eq!(class(rule, &request), matches, "{name} {test:?}");
    }
    for (name, test, matches) in [
        ("session", equals("abc"), true),
        ("session", prefix("ab"), true),
        ("session", equals("ab"), false),
        ("plan", equals("gold"), true),
        ("empty", equals(""), true),
        ("empty", ValueTest::Present, true),
        ("sess", ValueTest::Present, false),
        ("Session", ValueTest::Present, false),
    ] {
        let rule = Rule { cookies: vec![(name.to_owned(), test.clone())], ..Rule::default() };
        assert_eq!(class(rule, &request), matches, "{name} {test:?}");
    }
}

#[test]
fn a_rule_holds_if_all_of_it_does_and_the_first_one_decides() {
    let all = classes(4);
    let rules = vec![
        Rule {
            clients: vec![network("192.0.2.0/24")],
            paths: vec!["/api".to_owned()],
            class: all[1],
            ..Rule::default()
        },
        Rule { paths: vec!["/api".to_owned()], class: all[2], ..Rule::default() },
        Rule { clients: vec![network("192.0.2.7"), network("192.0.2.7")], class: all[3], ..Rule::default() },
    ];
    let classifier = Classifier::new(rules, all[0]).unwrap();
    for (client, path, expected) in
        [("192.0.2.7", "/api", 1), ("192.0.3.7", "/api", 2), ("192.0.2.7", "/", 3), ("192.0.2.8", "/", 0)]
    {
        let request = RequestView { path: path.as_bytes(), ..from(client) };
        assert_eq!(classifier.class(&request), all[expected], "{client} {path}");
    }
    assert_eq!(Classifier::default().class(&from("192.0.2.1")), all[0]);
    let many = vec![Rule::default(); MAX_RULES + 1];
    assert_eq!(Classifier::new(many, all[0]).unwrap_err(), TooManyRules(MAX_RULES + 1));
}

#[test]
fn classes_are_checked() {
    let good = ClassConfig::default;
    let name = || "default".to_owned();
    for (configs, error) in [
        (vec![], ClassError::Count(0)),
        (vec![good(); MAX_CLASSES + 1], ClassError::Count(MAX_CLASSES + 1)),
        (vec![good(), good()], ClassError::Name(name())),
        (vec![ClassConfig { weight: 0, ..good() }], ClassError::Weight(name())),
        (vec![ClassConfig { concurrency: Some(0), ..good() }], ClassError::Concurrency(name())),
        (vec![ClassConfig { queue: MAX_QUEUE + 1, ..good() }], ClassError::Queue(name())),
        (vec![ClassConfig { queue_timeout: 0, ..good() }], ClassError::Queue(name())),
    ] {
        assert_eq!(Classes::new(configs).unwrap_err(), error);
    }
    let classes = Classes::default();
    let index = classes.find("default").unwrap();
    assert_eq!((classes.len(), index.get(), classes.config(index).weight), (1, 0, 1));
    assert_eq!(classes.find("other"), None);
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    // Few, so that they meet.
    let ipv4 = prop::sample::select(vec![0u32, 1, 255, 256, 0x0a00_0000, 0x0a00_0001, 0x0a80_0000, u32::MAX]);
    let ipv6 = prop::sample::select(vec![0u128, 1, 0xffff_0a00_0000, 1 << 127, (1 << 127) + 1, 1 << 80, u128::MAX]);
    prop_oneof![
        ipv4.prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        ipv6.prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

proptest! {
    #[test]
    fn it_finds_what_looking_at_every_rule_finds(
        rules in prop::collection::vec(
            (prop::collection::vec((addresses(), 0..=128u8), 0..6), prop::option::of("/[ab]"), 0..8usize), 0..30),
        clients in prop::collection::vec((addresses(), "/[abc]"), 1..20),
    ) {
        let all = classes(9);
        let rules: Vec<_> = rules.into_iter().map(|(networks, path, class)| Rule {
            clients: networks.into_iter().map(|(address, length)| Network::around(address, length)).collect(),
            paths: path.into_iter().collect(),
            class: all[class],
            ..Rule::default()
        }).collect();
        let classifier = Classifier::new(rules.clone(), all[8]).unwrap();
        for (client, path) in clients {
            let holds = |rule: &&Rule| {
                (rule.clients.is_empty() || rule.clients.iter().any(|network| network.contains(client)))
                    && (rule.paths.is_empty() || rule.paths.contains(&path))
            };
            let expected = rules.iter().find(holds).map_or(all[8], |rule| rule.class);
            let request = RequestView { client, host: b"", path: path.as_bytes(), fields: &() };
            prop_assert_eq!(classifier.class(&request), expected);
        }
    }

    #[test]
    fn no_octets_make_it_panic(
        host in prop::collection::vec(any::<u8>(), 0..30),
        path in prop::collection::vec(any::<u8>(), 0..30),
        cookie in "[a=;\" ü]{0,20}",
    ) {
        let rule = Rule {
            hosts: vec![HostPattern::new("*.a"), HostPattern::new("a")],
            paths: vec!["/a".to_owned(), String::new()],
            cookies: vec![("a".to_owned(), ValueTest::Present)],
            ..Rule::default()
        };
        let fields = [("cookie", cookie.as_str())];
        let request = RequestView { client: IpAddr::V4(Ipv4Addr::LOCALHOST), host: &host, path: &path, fields: &fields };
        class(rule, &request);
    }
}
