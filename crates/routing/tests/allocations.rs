//! A match allocates nothing.

use afpa_platform::testing::CountingAllocator;
use afpa_routing::{
    Captures, Condition, Conditions, PathCondition, RequestView, Route, Router, Site, Subject, Target, Test,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_match_and_its_location_and_its_key_allocate_nothing() {
    let router = router();
    let fields = vec![("Cookie", "a=1; beta=\"yes\""), ("X-Kind", "fast")];
    let requests = [
        ("www.example.com", "/exact", None),
        ("www.example.com", "/api/v1/users/7", Some("page=%32&x=1")),
        ("www.example.com", "/api/v1/users/7", None),
        ("www.example.com", "/old/a/b/c", Some("q")),
        ("deep.below.example.org", "/nothing/of/this", None),
        ("other", "/", None),
    ];
    let mut captures = Captures::new();
    let (mut location, mut key) = (Vec::with_capacity(1024), Vec::with_capacity(1024));
    let mut found = Vec::with_capacity(requests.len());
    let mut pass = |found: &mut Vec<Option<(usize, usize)>>| {
        found.clear();
        for (host, path, query) in &requests {
            let request = RequestView {
                method: b"GET",
                host: host.as_bytes(),
                path: path.as_bytes(),
                query: query.map(str::as_bytes),
                fields: &fields,
            };
            let matched = router.route(&request, &mut captures);
            if let Some(matched) = &matched {
                location.clear();
                key.clear();
                matched.route.redirect(&request, &captures, &mut location);
                matched.route.key.append(request.host, request.path, request.query, request.fields, &mut key);
            }
            found.push(matched.map(|matched| (matched.site, matched.number)));
        }
    };
    // Regular expressions and `captures` get the memory that they work with.
    (0..50).for_each(|_| pass(&mut found));
    let before = CountingAllocator::allocations();
    (0..1000).for_each(|_| pass(&mut found));
    assert_eq!(CountingAllocator::allocations() - before, 0);
    assert_eq!(found, [Some((0, 0)), Some((0, 1)), Some((0, 2)), Some((0, 3)), Some((1, 0)), None]);
}

fn router() -> Router {
    let condition = |subject, test| Condition { subject, test };
    let others = vec![
        condition(Subject::Query("page".into()), Test::Equals("2".into())),
        condition(Subject::Cookie("beta".into()), Test::Prefix("y".into())),
        condition(Subject::Field("x-kind".into()), Test::Regex("^f.*t$".parse().unwrap())),
    ];
    let route = |path| Route::new(path, Target::Pool(0));
    let prefix = || PathCondition::Prefix("/api/v1".into());
    let location = "https://$host/new/$1?$query".parse().unwrap();
    let redirect = Target::Redirect { status: 301, location };
    let routes = vec![
        route(PathCondition::Exact("/exact".into())),
        Route { conditions: Conditions { methods: vec!["GET".into()], others }, ..route(prefix()) },
        route(prefix()),
        Route::new(PathCondition::Regex("^/old/(.*)/c$".parse().unwrap()), redirect),
    ];
    let site = |host: &str, routes| Site { name: host.into(), hosts: vec![host.parse().unwrap()], routes };
    let below = vec![route(PathCondition::Any)];
    Router::new(vec![site("www.example.com", routes), site("*.example.org", below)]).unwrap()
}
