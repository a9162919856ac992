//! Classes of requests, and what is done when there is too much to do.
//!
//! [`Class`], [`Overload`]: the model, with its defaults.

mod model;
mod problems;
mod read;

pub use model::{Class, Overload};
pub(super) use problems::problems;
pub(super) use read::{read, read_overload};

#[cfg(test)]
mod tests {
    use afpa_http::quality::class_of;
    use afpa_routing::{Captures, PathCondition, RequestView, Route};

    #[test]
    fn the_first_class_whose_conditions_hold_has_the_request() {
        let text = r#"
            [[classes]]
            name = "routed"
            [[classes]]
            name = "staff"
            clients = ["10.0.0.0/8"]
            hosts = ["*.example.com"]
            [[classes]]
            name = "crawlers"
            headers = [{ name = "User-Agent", regex = "(?i)bot" }]
            [[classes]]
            name = "static"
            path-prefix = "/static"
            methods = ["GET"]
        "#;
        let classes = crate::config::parse(text).config.classes;
        let ask = |host: &str, path: &str, agent: &str, client: &str, route: Option<usize>| {
            let fields = vec![("user-agent", agent)];
            let (host, path) = (host.as_bytes(), path.as_bytes());
            let request = RequestView { method: b"GET", host, path, query: None, fields: &fields };
            let route = Route { class: route, ..Route::new(PathCondition::Any, afpa_routing::Target::Pool(0)) };
            let class = class_of(
                classes.iter().map(|class| &class.rule),
                Some(&route),
                &request,
                client.parse().ok(),
                &mut Captures::new(),
            );
            class.map_or("none", |number| classes[number].name.as_str())
        };
        assert_eq!(ask("a.example.com", "/static", "Bot", "10.1.2.3", None), "staff");
        assert_eq!(ask("a.example.com", "/static", "Bot", "192.0.2.1", None), "crawlers");
        assert_eq!(ask("a.example.com", "/static", "Bot", "", None), "crawlers");
        assert_eq!(ask("a.example.com", "/static/x", "x", "192.0.2.1", None), "static");
        assert_eq!(ask("example.com", "/", "x", "10.1.2.3", None), "none");
        assert_eq!(ask("example.com", "/", "Bot", "10.1.2.3", Some(0)), "routed");
    }
}
