//! What becomes of a request, for those who wrote the configuration.

use std::fmt::Write;

use afpa_http::quality::class_of;
use afpa_http::syntax::{host, target};
use afpa_routing::{Captures, FieldChange, KeyParts, Matched, RequestView, Route, Router, Target};

use crate::args::Explain;
use crate::config::{self, Config, sites};

/// What is said of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Explanation {
    /// All of it, in lines.
    pub text: String,
    /// Whether a route takes the request.
    pub taken: bool,
}

/// Explains what the command line asks about.
///
/// # Errors
/// Errors of the configuration, or of the request, in a sentence each.
pub fn execute(explain: &Explain) -> Result<Explanation, Vec<String>> {
    let config = config::read(&explain.config);
    let config = config.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    explanation(&config, explain).map_err(|error| vec![error])
}

/// Explains what becomes of a request.
///
/// # Errors
/// The request is none.
pub fn explanation(config: &Config, explain: &Explain) -> Result<Explanation, String> {
    let router =
        sites::router(config).map_err(|problems| problems.first().map_or_else(String::new, ToString::to_string))?;
    let asked = Asked::of(explain)?;
    let request = asked.view();
    let mut text = String::new();
    for step in router.explain(&request) {
        line(&mut text, &step.to_string());
    }
    let mut captures = Captures::new();
    let matched = router.route(&request, &mut captures);
    match &matched {
        None => line(&mut text, "route    none"),
        Some(matched) => {
            chosen(config, &router, matched, &mut text);
            sent(matched.route, &request, &captures, &mut text);
            changes("request", &matched.route.request_fields, &mut text);
            changes("response", &matched.route.response_fields, &mut text);
            cached(config, matched.route, &request, &mut text);
        }
    }
    class(config, matched.as_ref(), &request, explain, &mut text);
    Ok(Explanation { text, taken: matched.is_some() })
}

/// A request in its parts.
struct Asked {
    method: String,
    host: Vec<u8>,
    path: Vec<u8>,
    query: Option<String>,
    fields: Vec<(String, String)>,
}

impl Asked {
    fn of(explain: &Explain) -> Result<Asked, String> {
        let Explain { method, url, headers, .. } = explain;
        let fields: Vec<_> = headers.iter().map(|field| (field.name.clone(), field.value.clone())).collect();
        let wrong = |expected: &str| format!("URL: expected {expected}, found {url:?}");
        if method == "CONNECT" {
            let authority = host::parse(url.as_bytes()).ok_or_else(|| wrong("HOST:PORT"))?;
            let host = authority.host.to_ascii_lowercase();
            return Ok(Asked { method: method.clone(), host, path: Vec::new(), query: None, fields });
        }
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let rest = rest.ok_or_else(|| wrong("http://HOST/PATH"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        // RFC 9112 §3.2.2: the target counts, not a Host field beside it.
        let host =
            host::parse(authority.as_bytes()).ok_or_else(|| wrong("http://HOST/PATH"))?.host.to_ascii_lowercase();
        let mut scratch = Vec::new();
        let normal = target::normalise(path.as_bytes(), &mut scratch);
        let normal = normal.map_err(|error| format!("URL: the path is refused with {}: {error}", error.status()))?;
        // Asking for everything: RFC 9112 §3.2.4.
        let path = if method == "OPTIONS" && path == "/*" { b"*".to_vec() } else { normal.to_vec() };
        Ok(Asked { method: method.clone(), host, path, query, fields })
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            method: self.method.as_bytes(),
            host: &self.host,
            path: &self.path,
            query: self.query.as_deref().map(str::as_bytes),
            fields: &self.fields,
        }
    }
}

fn chosen(config: &Config, router: &Router, matched: &Matched<'_>, text: &mut String) {
    let site = &router.sites()[matched.site].name;
    line(text, &format!("route    {} of site {site}", matched.route.name));
    let target = match &matched.route.target {
        Target::Pool(number) => pool(&config.pools[*number]),
        Target::Files(number) => format!("files {}", sites::file_roots(config)[*number].display()),
        Target::Deferred(number) => format!("deferred unix:{}", sites::deferred(config)[*number].display()),
        Target::Redirect { status, .. } => format!("redirect, {status}"),
        Target::Respond { status, body, .. } => format!("respond, {status}, {} octets", body.len()),
    };
    line(text, &format!("target   {target}"));
    let route = matched.route;
    let of_route = [
        route.limits.body.map(|octets| format!("body {}", crate::units::Size(octets))),
        route.limits.total_timeout.map(|time| format!("timeout {}", crate::units::Span(time))),
        route.limits.try_timeout.map(|time| format!("try-timeout {}", crate::units::Span(time))),
        route.upgrade.then(|| "upgrades".to_owned()),
    ];
    let of_route: Vec<_> = of_route.into_iter().flatten().collect();
    if !of_route.is_empty() {
        line(text, &format!("allowed  {}", of_route.join(", ")));
    }
}

fn pool(pool: &config::pools::Pool) -> String {
    let gets = |backend: &&config::pools::Backend| backend.weight > 0 && !backend.draining;
    let backends: Vec<_> = pool.backends.iter().filter(gets).map(|backend| backend.address.to_string()).collect();
    format!("pool {}, {} among {}", pool.name, pool.balance, backends.join(", "))
}

/// What a backend is asked for, or where a client is sent.
fn sent(route: &Route, request: &RequestView<'_>, captures: &Captures, text: &mut String) {
    let mut into = Vec::new();
    if route.redirect(request, captures, &mut into).is_some() {
        return line(text, &format!("location {}", into.escape_ascii()));
    }
    if !route.rewrite.is_empty() {
        let said = match route.rewrite.target(request, &mut Captures::new(), &mut into) {
            Ok(()) => into.escape_ascii().to_string(),
            Err(refused) => format!("nothing: 400, because {refused}"),
        };
        line(text, &format!("asks for {said}"));
    }
}

fn changes(what: &str, changes: &[FieldChange], text: &mut String) {
    for change in changes {
        let said = match change {
            FieldChange::Set { name, value } => format!("sets {name}: {value}"),
            FieldChange::Add { name, value } => format!("adds {name}: {value}"),
            FieldChange::Remove { name } => format!("removes {name}"),
        };
        line(text, &format!("{what:<8} {said}"));
    }
}

fn cached(config: &Config, route: &Route, request: &RequestView<'_>, text: &mut String) {
    if !matches!(route.target, Target::Pool(_) | Target::Deferred(_)) {
        return;
    }
    let policy = route.caching.and_then(|number| config.accelerate.numbered_policies().nth(number));
    let name = |policy: &config::accelerate::Policy| {
        if policy.name.is_empty() { "default".to_owned() } else { policy.name.clone() }
    };
    let said = match policy {
        None => "off for this route".to_owned(),
        Some(policy) if !policy.cache => format!("off in policy {}", name(policy)),
        Some(policy) if !policy.methods.iter().any(|method| method.as_bytes() == request.method) => {
            format!("policy {} keeps only {}", name(policy), policy.methods.join(", "))
        }
        Some(policy) => {
            let mut key = Vec::new();
            route.key.append(request.host, request.path, request.query, request.fields, &mut key);
            line(text, &format!("cache    policy {}", name(policy)));
            return line(text, &format!("key      {}", KeyParts::shown(&key)));
        }
    };
    line(text, &format!("cache    {said}"));
}

fn class(
    config: &Config,
    matched: Option<&Matched<'_>>,
    request: &RequestView<'_>,
    explain: &Explain,
    text: &mut String,
) {
    let route = matched.map(|matched| matched.route);
    let number =
        class_of(config.classes.iter().map(|class| &class.rule), route, request, explain.client, &mut Captures::new());
    let by_route = route.is_some_and(|route| route.class.is_some());
    let said = match number.map(|number| &config.classes[number]) {
        None if config.classes.is_empty() => return,
        None => "none".to_owned(),
        Some(class) if by_route => {
            format!("{}, priority {}, as the route says", class.name, class.priority)
        }
        Some(class) => format!("{}, priority {}, the first whose conditions hold", class.name, class.priority),
    };
    let by_client = config.classes.iter().any(|class| !class.rule.clients.is_empty());
    let hint = if explain.client.is_none() && by_client && !by_route { "; --client says who asks" } else { "" };
    line(text, &format!("class    {said}{hint}"));
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        [site]
        root = "/srv/www"
        [[pools]]
        name = "app"
        balance = "least-requests"
        backends = [
            { address = "127.0.0.1:3000" },
            { address = "app.internal:3000", weight = 2 },
            { address = "unix:/run/old.sock", draining = true },
        ]
        [[sites]]
        hosts = ["example.com", "*.example.com"]
        [[sites.routes]]
        name = "api"
        path-prefix = "/api"
        methods = ["GET", "POST"]
        headers = [{ name = "X-Canary", present = false }]
        pool = "app"
        strip-prefix = "/api"
        cache = "short"
        key = { query-without = ["utm"], cookies = ["beta"] }
        limits = { body = "1MiB", timeout = "30s" }
        request-fields = [{ set = "X-Host", value = "a" }, { remove = "Cookie" }]
        response-fields = [{ add = "Vary", value = "Cookie" }]
        [[sites.routes]]
        path-regex = "^/old/(.*)$"
        redirect = { to = "https://$host/new/$1?$query", status = 301 }
        [[sites.routes]]
        path = "/live"
        pool = "app"
        cache = "off"
        class = "first"
        upgrade = true
        [[accelerate.policies]]
        name = "short"
        default-lifetime = "5s"
        [[classes]]
        name = "first"
        priority = 7
        [[classes]]
        name = "crawlers"
        priority = 1
        clients = ["192.0.2.0/24"]
    "#;

    fn explained(method: &str, url: &str, fields: &[&str], client: Option<&str>) -> (bool, String) {
        let parsed = config::parse(CONFIG);
        assert_eq!(parsed.diagnostics, []);
        let explain = Explain {
            config: "afpa.toml".into(),
            method: method.into(),
            url: url.into(),
            headers: fields.iter().map(|field| field.parse().unwrap()).collect(),
            client: client.map(|client| client.parse().unwrap()),
        };
        match explanation(&parsed.config, &explain) {
            Ok(Explanation { text, taken }) => (taken, text),
            Err(error) => (false, error),
        }
    }

    #[test]
    fn a_request_for_a_pool_is_followed_to_its_end() {
        let url = "http://WWW.example.com:8080/api/./x%20y?a=1&utm=2#top";
        let (taken, text) = explained("GET", url, &["Cookie: beta=1; c=2"], Some("192.0.2.7"));
        let expected = "\
+ site example.com: the host www.example.com is *.example.com
  - route path /live to pool app: expected path /live
  + route api: path-prefix /api, method GET, POST, header x-canary absent
- site site: the host www.example.com is *, but *.example.com is nearer
route    api of site example.com
target   pool app, least-requests among 127.0.0.1:3000, app.internal:3000
allowed  body 1 MiB, timeout 30s
asks for /x%20y?a=1&utm=2
request  sets X-Host: a
request  removes Cookie
response adds Vary: Cookie
cache    policy short
key      host www.example.com, path /api/x y, query a=1, cookie beta = 1, in example.com api
class    crawlers, priority 1, the first whose conditions hold
";
        assert_eq!((taken, text.as_str()), (true, expected));
    }

    #[test]
    fn what_is_decisive_is_said() {
        for (method, url, fields, expected) in [
            ("POST", "http://example.com/api", &[][..], "cache    policy short keeps only GET, HEAD\n"),
            ("GET", "http://example.com/api", &["x-canary: 1"], "  - route api: expected header x-canary absent\n"),
            (
                "GET",
                "http://example.com/api",
                &["x-canary: 1"],
                "route    none\nclass    none; --client says who asks\n",
            ),
            ("GET", "http://example.com/old/a?b", &[], "location https://example.com/new/a?b\n"),
            ("GET", "http://example.com/live", &[], "allowed  upgrades\ncache    off for this route\n"),
            ("GET", "http://example.com/live", &[], "class    first, priority 7, as the route says\n"),
            (
                "GET",
                "https://other.example",
                &[],
                "route    files of site site\ntarget   files /srv/www\nclass    none; --client",
            ),
            ("CONNECT", "example.com:443", &[], "route    none\n"),
            ("GET", "example.com", &[], "URL: expected http://HOST/PATH, found \"example.com\""),
            ("GET", "http://a b/", &[], "URL: expected http://HOST/PATH, found \"http://a b/\""),
            ("GET", "http://a/%2f", &[], "URL: the path is refused with 404: "),
        ] {
            let (_, text) = explained(method, url, fields, None);
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
    }
}
