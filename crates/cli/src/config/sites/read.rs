//! From the sections `[[sites]]` to the model.

use std::sync::Arc;

use afpa_routing::{
    Condition, Conditions, FieldChange, HostPattern, KeyParts, Limits, PathCondition, Pattern, QueryKey, Rewrite,
    Subject, Template, Test,
};

use super::written::UnixAddress;
use super::{Route, Site, Target};
use crate::config::section::Section;
use crate::units::{Size, Span};

/// Where something is wrong, the default stands.
pub(in crate::config) fn read(mut section: Section<'_>, offset: usize) -> Site {
    let name = section.optional("name");
    let mut hosts = Vec::new();
    section.list("hosts", &mut hosts);
    if hosts.is_empty() && !section.has("hosts") {
        hosts = vec![HostPattern::Any];
    }
    let routes: Vec<_> =
        section.sections("routes").into_iter().map(|(section, offset)| route(section, offset)).collect();
    if routes.is_empty() && !section.has("routes") {
        section.error(offset, "expected at least one section [[sites.routes]], found none");
    }
    section.finish();
    let name = name.unwrap_or_else(|| match hosts.first() {
        None | Some(HostPattern::Any) => "default".to_owned(),
        Some(host) => host.to_string(),
    });
    Site { name, hosts, routes }
}

fn route(mut section: Section<'_>, offset: usize) -> Route {
    let name = section.optional("name");
    let path = path(&mut section, offset);
    let conditions = conditions(&mut section);
    let rewrite = rewrite(&mut section);
    let request_fields = changes(&mut section, "request-fields");
    let response_fields = changes(&mut section, "response-fields");
    let target = target(&mut section, offset);
    let mut route = Route { name, path, conditions, rewrite, request_fields, response_fields, ..Route::to(target) };
    section.read("cache", &mut route.caching);
    if let Some((section, offset)) = section.section("key") {
        route.key = key(section, offset);
    }
    section.read("upgrade", &mut route.upgrade);
    section.read("connect", &mut route.connect);
    if let Some((section, _)) = section.section("limits") {
        route.limits = limits(section);
    }
    route.class = section.optional("class");
    section.finish();
    route
}

fn path(section: &mut Section<'_>, offset: usize) -> PathCondition {
    let exact = section.optional("path").map(PathCondition::Exact);
    let prefix = section.optional("path-prefix").map(PathCondition::Prefix);
    let regex = section.optional("path-regex").map(PathCondition::Regex);
    if ["path", "path-prefix", "path-regex"].iter().filter(|key| section.has(key)).count() > 1 {
        section.error(offset, "expected one of path, path-prefix and path-regex, found several");
    }
    exact.or(prefix).or(regex).unwrap_or(PathCondition::Any)
}

/// Methods, and what is asked of header fields, cookies and the query.
pub(in crate::config) fn conditions(section: &mut Section<'_>) -> Conditions {
    let mut conditions = Conditions::default();
    section.list("methods", &mut conditions.methods);
    for (key, subject) in [
        ("headers", (|name: String| Subject::Field(name.to_ascii_lowercase())) as fn(String) -> Subject),
        ("cookies", Subject::Cookie),
        ("query", Subject::Query),
    ] {
        let sections = section.sections(key).into_iter();
        conditions.others.extend(sections.filter_map(|(section, offset)| condition(section, offset, subject)));
    }
    conditions
}

fn condition(mut section: Section<'_>, offset: usize, subject: fn(String) -> Subject) -> Option<Condition> {
    let name = section.required("name", offset);
    let equals = section.optional("equals").map(Test::Equals);
    let prefix = section.optional("prefix").map(Test::Prefix);
    let regex = section.optional::<Pattern>("regex").map(Test::Regex);
    let present = section.optional("present").map(|is| if is { Test::Present } else { Test::Absent });
    if ["equals", "prefix", "regex", "present"].iter().filter(|key| section.has(key)).count() != 1 {
        section.error(offset, "expected one of equals, prefix, regex and present");
    }
    section.finish();
    Some(Condition { subject: subject(name?), test: equals.or(prefix).or(regex).or(present)? })
}

fn rewrite(section: &mut Section<'_>) -> Rewrite {
    let strip_prefix = section.optional("strip-prefix");
    let replace = section.section("replace").and_then(|(mut section, offset)| {
        let pattern = section.required::<Pattern>("pattern", offset);
        let with = section.required::<Template>("with", offset);
        section.finish();
        pattern.zip(with)
    });
    Rewrite { strip_prefix, replace, add_prefix: section.optional("add-prefix") }
}

fn changes(section: &mut Section<'_>, key: &'static str) -> Vec<FieldChange> {
    section.sections(key).into_iter().filter_map(|(section, offset)| change(section, offset)).collect()
}

fn change(mut section: Section<'_>, offset: usize) -> Option<FieldChange> {
    let (set, add, remove) = (section.optional("set"), section.optional("add"), section.optional("remove"));
    if ["set", "add", "remove"].iter().filter(|key| section.has(key)).count() != 1 {
        section.error(offset, "expected one of set, add and remove, with the name of a header field");
    }
    let value = if section.has("remove") { None } else { section.required("value", offset) };
    section.finish();
    match (set, add, remove, value) {
        (Some(name), None, None, Some(value)) => Some(FieldChange::Set { name, value }),
        (None, Some(name), None, Some(value)) => Some(FieldChange::Add { name, value }),
        (None, None, Some(name), None) => Some(FieldChange::Remove { name }),
        _ => None,
    }
}

const TARGETS: [&str; 5] = ["pool", "files", "deferred", "redirect", "respond"];

fn target(section: &mut Section<'_>, offset: usize) -> Target {
    let pool = section.optional("pool").map(Target::Pool);
    let files = section.optional("files").map(Target::Files);
    let deferred = section.optional("deferred").map(|UnixAddress(path)| Target::Deferred(path));
    let redirect = section.section("redirect").and_then(|(section, offset)| redirect(section, offset));
    let respond = section.section("respond").map(|(section, _)| respond(section));
    let count = TARGETS.iter().filter(|key| section.has(key)).count();
    if count != 1 {
        let found = if count == 0 { "none" } else { "several" };
        section.error(offset, &format!("expected one of {}, found {found}", TARGETS.join(", ")));
    }
    pool.or(files).or(deferred).or(redirect).or(respond).unwrap_or(Target::Pool(String::new()))
}

fn redirect(mut section: Section<'_>, offset: usize) -> Option<Target> {
    let to = section.required("to", offset);
    let mut status = 302;
    section.count("status", 301..=308, &mut status);
    section.finish();
    Some(Target::Redirect { status, to: to? })
}

fn respond(mut section: Section<'_>) -> Target {
    let mut status = 200;
    section.count("status", 200..=599, &mut status);
    let body = section.text("body").unwrap_or_default();
    let default = if body.is_empty() { "" } else { "text/plain; charset=utf-8" };
    let content_type = section.optional("content-type").unwrap_or_else(|| default.to_owned());
    section.finish();
    Target::Respond { status, content_type, body: Arc::from(body.into_bytes()) }
}

fn key(mut section: Section<'_>, offset: usize) -> KeyParts {
    let mut parts = KeyParts::default();
    section.read("host", &mut parts.host);
    let whole = section.optional::<bool>("query");
    let (mut only, mut without) = (Vec::new(), Vec::new());
    section.list("query-only", &mut only);
    section.list("query-without", &mut without);
    if ["query", "query-only", "query-without"].iter().filter(|key| section.has(key)).count() > 1 {
        section.error(offset, "expected one of query, query-only and query-without, found several");
    }
    parts.query = match whole {
        _ if section.has("query-only") => QueryKey::Only(only),
        _ if section.has("query-without") => QueryKey::AllBut(without),
        Some(false) => QueryKey::None,
        _ => QueryKey::All,
    };
    section.list("headers", &mut parts.fields);
    parts.fields.iter_mut().for_each(|name| name.make_ascii_lowercase());
    section.list("cookies", &mut parts.cookies);
    section.finish();
    parts
}

fn limits(mut section: Section<'_>) -> Limits {
    let limits = Limits {
        body: section.optional("body").map(|Size(octets)| octets),
        total_timeout: section.optional("timeout").map(|Span(time)| time),
        try_timeout: section.optional("try-timeout").map(|Span(time)| time),
    };
    section.finish();
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Diagnostic, parse};

    fn errors(text: &str) -> String {
        parse(text).diagnostics.iter().map(|diagnostic: &Diagnostic| format!("{diagnostic}\n")).collect()
    }

    fn routes(text: &str) -> Vec<Route> {
        let pool = "[[pools]]\nname='app'\nbackends=[{address='127.0.0.1:3000'}]\n[[classes]]\nname='x'\nhosts=['a']\n";
        let parsed = parse(&format!("{pool}[[sites]]\n{text}"));
        assert_eq!(parsed.diagnostics, []);
        parsed.config.sites.into_iter().next().unwrap().routes
    }

    #[test]
    fn every_key_arrives() {
        let text = r#"
            [[sites.routes]]
            name = "all"
            path-regex = "^/a/(.*)$"
            methods = "GET"
            headers = [{ name = "X-A", equals = "1" }, { name = "x-b", prefix = "p" }]
            cookies = [{ name = "c", present = true }]
            query = [{ name = "q", regex = "^x" }, { name = "r", present = false }]
            pool = "app"
            strip-prefix = "/a"
            replace = { pattern = "b", with = "c?$query" }
            add-prefix = "/d"
            request-fields = [{ set = "x-c", value = "1" }, { add = "x-d", value = "2" }, { remove = "x-e" }]
            response-fields = [{ remove = "server" }]
            cache = "off"
            key = { host = false, query-only = ["p"], headers = ["X-A"], cookies = "c" }
            upgrade = true
            connect = true
            limits = { body = "1KiB", timeout = "2s", try-timeout = "1s" }
            class = "x"
        "#;
        let route = routes(text).remove(0);
        let condition = |subject, test| Condition { subject, test };
        let others = vec![
            condition(Subject::Field("x-a".into()), Test::Equals("1".into())),
            condition(Subject::Field("x-b".into()), Test::Prefix("p".into())),
            condition(Subject::Cookie("c".into()), Test::Present),
            condition(Subject::Query("q".into()), Test::Regex("^x".parse().unwrap())),
            condition(Subject::Query("r".into()), Test::Absent),
        ];
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (set, add) = (field("x-c", "1"), field("x-d", "2"));
        let expected = Route {
            name: Some("all".into()),
            path: PathCondition::Regex("^/a/(.*)$".parse().unwrap()),
            conditions: Conditions { methods: vec!["GET".into()], others },
            rewrite: Rewrite {
                strip_prefix: Some("/a".into()),
                replace: Some(("b".parse().unwrap(), "c?$query".parse().unwrap())),
                add_prefix: Some("/d".into()),
            },
            request_fields: vec![
                FieldChange::Set { name: set.0, value: set.1 },
                FieldChange::Add { name: add.0, value: add.1 },
                FieldChange::Remove { name: "x-e".into() },
            ],
            response_fields: vec![FieldChange::Remove { name: "server".into() }],
            target: Target::Pool("app".into()),
            caching: super::super::Caching::Off,
            key: KeyParts {
                space: String::new(),
                host: false,
                query: QueryKey::Only(vec!["p".into()]),
                fields: vec!["x-a".into()],
                cookies: vec!["c".into()],
            },
            upgrade: true,
            connect: true,
            limits: Limits {
                body: Some(1024),
                total_timeout: Some(std::time::Duration::from_secs(2)),
                try_timeout: Some(std::time::Duration::from_secs(1)),
            },
            class: Some("x".into()),
        };
        assert_eq!(route, expected);
    }

    #[test]
    fn targets_and_paths_are_of_several_kinds() {
        let text = "routes = [
            { path = '/a', files = '/srv' },
            { path-prefix = '/b', deferred = 'unix:/run/d' },
            { path = '/c', redirect = { to = '/d' } },
            { path = '/e', respond = { status = 404, body = \"a\\nb\", content-type = 'text/html' } },
            { path = '/f', respond = { status = 204 } },
            { path = '/g', pool = 'app', key = { query = false } },
            { path = '/h', pool = 'app', key = { query-without = [] } },
        ]";
        let found = routes(text);
        let respond = |status, content_type: &str, body: &[u8]| Target::Respond {
            status,
            content_type: content_type.into(),
            body: body.into(),
        };
        let expected = [
            Target::Files("/srv".into()),
            Target::Deferred("/run/d".into()),
            Target::Redirect { status: 302, to: "/d".parse().unwrap() },
            respond(404, "text/html", b"a\nb"),
            respond(204, "", b""),
        ];
        assert!(found.iter().zip(&expected).all(|(route, target)| route.target == *target), "{found:?}");
        assert_eq!(found[5].key.query, QueryKey::None);
        assert_eq!(found[6].key.query, QueryKey::AllBut(Vec::new()));
    }

    #[test]
    fn each_error_names_its_place_what_was_expected_and_what_was_found() {
        let cases = [
            ("[[sites]]\n", "1:1: sites[0]: expected at least one section [[sites.routes]], found none\n"),
            (
                "[[sites]]\nhosts=['a:80', '*.b', 7]\n[[sites.routes]]\nrespond={}\n",
                "2:8: sites[0].hosts[0]: expected a host such as \"example.com\" or \"*.example.com\", \
                 found the string \"a:80\"; a port does not belong to it, and an IPv6 address stands in brackets\n\
                 2:23: sites[0].hosts[2]: expected a host such as \"example.com\" or \"*.example.com\", \
                 found the integer 7\n",
            ),
            (
                "[[sites]]\n[[sites.routes]]\npath='/a'\npath-prefix='/b'\n[[sites.routes]]\npool='a'\nfiles='/b'\n",
                "2:1: sites[0].routes[0]: expected one of path, path-prefix and path-regex, found several\n\
                 2:1: sites[0].routes[0]: expected one of pool, files, deferred, redirect, respond, found none\n\
                 5:1: sites[0].routes[1]: expected one of pool, files, deferred, redirect, respond, found several\n",
            ),
            (
                "[[sites]]\n[[sites.routes]]\npath-regex='('\nredirect={to='$uri'}\n",
                "3:12: sites[0].routes[0].path-regex: expected a regular expression such as \"^/a/(.*)$\", \
                 found the string \"(\"; unclosed group\n\
                 4:14: sites[0].routes[0].redirect.to: expected a text with variables such as \
                 \"https://$host$path?$query\", found the string \"$uri\"; there is no variable $uri, only $host, \
                 $path, $query and $1 to $9; $$ is a dollar\n",
            ),
            (
                "[[sites]]\n[[sites.routes]]\ndeferred='/run/d'\nheaders=[{name='a'}, {equals='b'}]\n\
                 request-fields=[{set='a'}, {value='b'}]\nkey={query=true, query-only=['a']}\ncache=true\n",
                "3:10: sites[0].routes[0].deferred: expected a Unix socket such as \"unix:/run/app.sock\", \
                 found the string \"/run/d\"\n\
                 4:10: sites[0].routes[0].headers[0]: expected one of equals, prefix, regex and present\n\
                 4:22: sites[0].routes[0].headers[1].name: expected a value, found none\n\
                 5:17: sites[0].routes[0].request-fields[0].value: expected a value, found none\n\
                 5:28: sites[0].routes[0].request-fields[1]: expected one of set, add and remove, \
                 with the name of a header field\n\
                 6:5: sites[0].routes[0].key: expected one of query, query-only and query-without, found several\n\
                 7:7: sites[0].routes[0].cache: expected \"off\", \"default\" or the name of a policy, found true\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(errors(text), expected, "for\n{text}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_shown_where_it_stands() {
        let pool = "[[pools]]\nname='app'\nbackends=[{address='127.0.0.1:3000'}]\n";
        let cases = [
            (
                "[[sites]]\n[[sites.routes]]\npool='ap'\nclass='x'\ncache='long'\n",
                "6:6: sites[0].routes[0].pool: expected a pool, found \"ap\", which is none; did you mean \"app\"?\n\
                 7:7: sites[0].routes[0].class: expected a class, found \"x\", which is none\n\
                 8:7: sites[0].routes[0].cache: expected off, default or the name of a policy, found \"long\", \
                 which is none\n",
            ),
            (
                "[[sites]]\nroutes=[{pool='app'}]\n[[sites]]\nname='b'\nroutes=[{pool='app'}]\n[site]\nroot='/'\n",
                "6:1: sites[1].hosts: expected one site for every other host, but sites[0] is one already\n\
                 9:1: site: expected one site for all hosts that no other has, but [[sites]] has one already; \
                 give that hosts of its own\n",
            ),
            (
                "[[sites]]\n[[sites.routes]]\npath-prefix='/a'\npool='app'\n[[sites.routes]]\npath-prefix='/a/'\n\
                 methods=['GET']\npool='app'\n",
                "8:1: sites[0].routes[1]: expected a route that something comes to, but routes[0] takes all of it\n",
            ),
            (
                "[[sites]]\n[[sites.routes]]\npath='/a'\nredirect={to='/$1', status=305}\nupgrade=true\nstrip-prefix='/a'\n",
                "5:1: sites[0].routes[0]: expected strip-prefix, replace and add-prefix where the target is a pool, \
                 deferred or files, found them elsewhere\n\
                 7:10: sites[0].routes[0].redirect: expected the status 301, 302, 303, 307 or 308, found 305\n\
                 7:10: sites[0].routes[0].redirect: expected a group of the route's path-regex, which has 0, found $1\n\
                 8:9: sites[0].routes[0].upgrade: expected it where the target is a pool or deferred, found it elsewhere\n",
            ),
            (
                "[[sites]]\n[[sites.routes]]\npool='app'\nrequest-fields=[{remove='Content-Length'}]\n\
                 headers=[{name='a b', present=true}]\n",
                "7:16: sites[0].routes[0].request-fields: expected a field that is not about the connection or the \
                 message's end, found Content-Length\n\
                 8:9: sites[0].routes[0].headers: expected the name of a header field, found \"a b\"\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(errors(&format!("{pool}{text}")), expected, "for\n{text}");
        }
        let alone = "1:1: pools[0]: expected sections [[sites]] with routes to it, found none\n";
        assert_eq!(errors(&format!("{pool}[site]\nroot='/'\n")), alone);
    }
}
