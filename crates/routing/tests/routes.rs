//! Which route takes a request.

use afpa_routing::{
    Captures, Condition, Conditions, Matched, PathCondition, RequestView, Rewrite, Route, Router, Site, Subject,
    Target, Template, Test,
};
use proptest::prelude::*;

fn path(text: &str) -> PathCondition {
    match text.split_once(' ') {
        Some(("=", path)) => PathCondition::Exact(path.into()),
        Some(("~", pattern)) => PathCondition::Regex(pattern.parse().unwrap()),
        _ if text == "any" => PathCondition::Any,
        _ => PathCondition::Prefix(text.into()),
    }
}

fn path_regex(pattern: &str) -> PathCondition {
    PathCondition::Regex(pattern.parse().unwrap())
}

fn route(name: &str) -> Route {
    Route { name: name.into(), ..Route::new(path(name), Target::Pool(0)) }
}

fn for_methods(name: &str, of: &str, methods: &[&str]) -> Route {
    let methods = methods.iter().map(|method| (*method).into()).collect();
    Route { name: name.into(), conditions: Conditions { methods, others: Vec::new() }, ..route(of) }
}

fn site(name: &str, hosts: &[&str], routes: Vec<Route>) -> Site {
    Site { name: name.into(), hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(), routes }
}

const NO_FIELDS: &[(&str, &str)] = &[];

fn ask<'r>(router: &'r Router, method: &str, host: &str, path: &str) -> Option<Matched<'r>> {
    let (method, host, path) = (method.as_bytes(), host.as_bytes(), path.as_bytes());
    let fields = NO_FIELDS.to_vec();
    router.route(&RequestView { method, host, path, query: None, fields: &fields }, &mut Captures::new())
}

#[test]
fn the_nearest_host_has_the_request() {
    let routes = || vec![route("any")];
    let sites = vec![
        site("default", &["*"], routes()),
        site("wild", &["*.example.com"], routes()),
        site("nearer", &["*.a.example.com", "[::1]"], routes()),
        site("exact", &["x.a.example.com", "example.com"], routes()),
    ];
    let router = Router::new(sites).unwrap();
    for (host, expected) in [
        ("example.com", "exact"),
        ("example.com.", "exact"),
        ("x.a.example.com", "exact"),
        ("y.a.example.com", "nearer"),
        ("z.y.a.example.com", "nearer"),
        ("a.example.com", "wild"),
        ("b.example.com", "wild"),
        (".example.com", "default"),
        ("notexample.com", "default"),
        ("[::1]", "nearer"),
        ("", "default"),
        (&format!("{}.example.com", "a.".repeat(200)), "default"),
    ] {
        let matched = ask(&router, "GET", host, "/").unwrap();
        assert_eq!(router.sites()[matched.site].name, expected, "{host}");
    }
    let router = Router::new(vec![site("one", &["a"], routes())]).unwrap();
    assert!(ask(&router, "GET", "b", "/").is_none());
    assert!(router.sole().is_none());
}

#[test]
fn the_nearest_path_has_the_request_and_what_fails_falls_through() {
    let get_only = |name, of| for_methods(name, of, &["GET"]);
    let router = Router::new(vec![site(
        "s",
        &["*"],
        vec![
            route("any"),
            route("~ \\.php$"),
            route("~ ^/api/.*\\.png$"),
            route("/api"),
            get_only("get v1", "/api/v1/"),
            get_only("get exact", "= /api/v1/x"),
            for_methods("put exact", "= /api/v1/x", &["PUT"]),
            Route { connect: true, ..for_methods("tunnel", "any", &["CONNECT"]) },
        ],
    )])
    .unwrap();
    for (method, path, expected) in [
        ("GET", "/api/v1/x", Some("get exact")),
        ("HEAD", "/api/v1/x", Some("get exact")),
        ("PUT", "/api/v1/x", Some("put exact")),
        ("POST", "/api/v1/x", Some("/api")),
        ("GET", "/api/v1/x/", Some("get v1")),
        ("GET", "/api/v1", Some("get v1")),
        ("GET", "/api/v11", Some("/api")),
        ("GET", "/api/a.php", Some("/api")),
        ("GET", "/apis/a.php", Some("~ \\.php$")),
        ("GET", "/apis", Some("any")),
        ("OPTIONS", "*", Some("any")),
        ("CONNECT", "", Some("tunnel")),
        ("CONNECT", "/api", Some("tunnel")),
    ] {
        let found = ask(&router, method, "h", path).map(|matched| matched.route.name.as_str());
        assert_eq!(found, expected, "{method} {path}");
    }
}

#[test]
fn a_router_is_shared_by_engines() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    shared(&Router::new(vec![site("s", &["*"], vec![route("~ a")])]).unwrap());
}

#[test]
fn nobody_routes_where_one_route_takes_everything() {
    let sole = |routes: Vec<Route>| Router::new(vec![site("s", &["*"], routes)]).unwrap().sole().is_some();
    assert!(sole(vec![route("any")]));
    assert!(!sole(vec![route("/")]), "OPTIONS * is not below it");
    assert!(!sole(vec![for_methods("get", "any", &["GET"])]));
    assert!(!sole(vec![route("any"), route("/a")]));
    let router = Router::new(vec![site("s", &["*"], vec![route("any")])]).unwrap();
    assert!(ask(&router, "CONNECT", "h", "").is_none());
}

#[test]
fn groups_of_the_route_that_was_taken_make_a_location() {
    let redirect = |of, location: &str| Route {
        target: Target::Redirect { status: 301, location: location.parse().unwrap() },
        ..route(of)
    };
    let tried = for_methods("tried", "~ ^/(.)(.)", &["PUT"]);
    let routes = vec![tried, redirect("~ ^/(old)/(.*)$", "https://$host/new/$2?$query"), redirect("any", "/x$path")];
    let router = Router::new(vec![site("s", &["*"], routes)]).unwrap();
    let mut captures = Captures::new();
    for (path, expected) in [("/old/a b", "https://h/new/a%20b?q"), ("/other", "/x/other")] {
        let fields = NO_FIELDS.to_vec();
        let request =
            RequestView { method: b"GET", host: b"h", path: path.as_bytes(), query: Some(b"q"), fields: &fields };
        let matched = router.route(&request, &mut captures).unwrap();
        let mut location = Vec::new();
        assert_eq!(matched.route.redirect(&request, &captures, &mut location), Some(301));
        assert_eq!(String::from_utf8(location).unwrap(), expected);
        assert_eq!(captures.group(2).is_some(), path == "/old/a b");
    }
}

#[test]
fn an_explanation_names_what_failed_first() {
    let condition = Condition { subject: Subject::Field("x-canary".into()), test: Test::Equals("1".into()) };
    let others = vec![condition];
    let canary = Route { name: "canary".into(), conditions: Conditions { methods: vec![], others }, ..route("/api") };
    let sites = vec![
        site("www", &["www.example.com"], vec![route("any")]),
        site(
            "apps",
            &["*.example.com"],
            vec![route("any"), for_methods("put", "/api", &["PUT"]), canary, route("/api")],
        ),
        site("rest", &["*"], vec![route("any")]),
    ];
    let router = Router::new(sites).unwrap();
    let fields = vec![("X-Canary", "0")];
    let request = RequestView { method: b"GET", host: b"a.example.com", path: b"/api/x", query: None, fields: &fields };
    let shown: Vec<_> = router.explain(&request).iter().map(ToString::to_string).collect();
    let expected = [
        "- site www: the host a.example.com is none of its",
        "+ site apps: the host a.example.com is *.example.com",
        "  - route put: the method is none of PUT",
        "  - route canary: expected header x-canary = \"1\"",
        "  + route /api: path-prefix /api",
        "- site rest: the host a.example.com is *, but *.example.com is nearer",
    ];
    assert_eq!(shown, expected);
}

fn any_route() -> impl Strategy<Value = Route> {
    let paths = prop_oneof![
        "(/[ab]{1,2}){1,3}/?".prop_map(|path| format!("= {path}")),
        "(/[ab]{1,2}){0,3}/?".prop_map(|path| if path.is_empty() { "/".into() } else { path }),
        ("[ab]/?[ab]?", any::<bool>()).prop_map(|(text, at_end)| format!("~ {text}{}", if at_end { "$" } else { "" })),
        Just("any".to_owned()),
    ];
    (paths, proptest::collection::vec("GET|PUT|CONNECT", 0..2), proptest::option::of("[ab]"), any::<bool>()).prop_map(
        |(path, methods, value, connect)| {
            let test = value.map(|value| Condition { subject: Subject::Field("x".into()), test: Test::Equals(value) });
            let conditions = Conditions { methods, others: test.into_iter().collect() };
            let connect = connect || conditions.methods.iter().any(|method| method == "CONNECT");
            Route { name: String::new(), conditions, connect, ..route(&path) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_found_is_what_looking_at_everything_finds(
        routes in proptest::collection::vec(any_route(), 0..12),
        hosts in proptest::collection::vec(proptest::sample::subsequence(vec!["*", "a.b", "*.b", "*.a.b", "b"], 0..4), 1..4),
        asked in proptest::collection::vec(("GET|PUT|HEAD|CONNECT", "([ab]\\.){0,3}b", "(/[ab]{0,2}){0,4}|\\*", "[ab]"), 1..20),
    ) {
        let mut sites: Vec<Site> = Vec::new();
        for (number, hosts) in hosts.iter().enumerate() {
            // What would be a mistake is left out.
            let fresh: Vec<_> = hosts.iter().copied()
                .filter(|host| !sites.iter().any(|site| site.hosts.contains(&host.parse().unwrap())))
                .collect();
            if !fresh.is_empty() {
                sites.push(site(&number.to_string(), &fresh, Vec::new()));
            }
        }
        let count = sites.len().max(1);
        let routes = if sites.is_empty() { Vec::new() } else { routes };
        for (number, route) in routes.into_iter().enumerate() {
            sites[number % count].routes.push(route);
            if Router::new(sites.clone()).is_err() {
                sites[number % count].routes.pop();
            }
        }
        let router = Router::new(sites).unwrap();
        let mut captures = Captures::new();
        for (method, host, path, value) in &asked {
            let fields = vec![("x", value)];
            let request = RequestView {
                method: method.as_bytes(), host: host.as_bytes(), path: path.as_bytes(), query: None, fields: &fields,
            };
            let found = router.route(&request, &mut captures)
                .map(|matched| (router.sites()[matched.site].name.clone(), format!("routes[{}]", matched.number)));
            let steps = router.explain(&request);
            let expected = steps.iter().find(|step| step.matched && step.route.is_some())
                .map(|step| (step.site.clone(), step.route.clone().unwrap()));
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn no_octets_of_a_request_break_out_of_what_is_made_of_them(
        host in proptest::collection::vec(any::<u8>(), 0..20),
        path in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'x'), any::<u8>()], 0..20),
        query in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        cookie in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let path = [b"/".to_vec(), path].concat();
        let fields = vec![("cookie", cookie)];
        let request = RequestView { method: b"GET", host: &host, path: &path, query: query.as_deref(), fields: &fields };
        let condition = Condition { subject: Subject::Cookie("a".into()), test: Test::Absent };
        let location = "https://www.example.com/new$path?a=$1&$query".parse().unwrap();
        let target = Target::Redirect { status: 307, location };
        let conditions = Conditions { methods: Vec::new(), others: vec![condition] };
        let redirect = Route { conditions, ..Route::new(path_regex("^/(.*)"), target) };
        let router = Router::new(vec![site("s", &["*"], vec![redirect, route("any")])]).unwrap();
        let is_visible = |octets: &[u8]| octets.iter().all(|octet| matches!(octet, b'!'..=b'~'));
        let mut captures = Captures::new();
        let matched = router.route(&request, &mut captures).unwrap();
        let mut into = Vec::new();
        if matched.route.redirect(&request, &captures, &mut into).is_some() {
            prop_assert!(into.starts_with(b"https://www.example.com/new/") && is_visible(&into));
        }
        let replace = Some(("x".parse().unwrap(), "$1?$query".parse::<Template>().unwrap()));
        let rewrite = Rewrite { strip_prefix: Some("/x".into()), replace, add_prefix: None };
        into.clear();
        if rewrite.target(&request, &mut captures, &mut into).is_ok() {
            prop_assert!(into.starts_with(b"/") && is_visible(&into) && !into.contains(&b'#'));
            let path = into.split(|&octet| octet == b'?').next().unwrap();
            prop_assert!(!path.split(|&octet| octet == b'/').any(|segment| matches!(segment, b"." | b"..")));
        }
    }
}
