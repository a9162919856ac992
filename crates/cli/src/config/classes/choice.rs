//! The class of a request.

use std::net::IpAddr;

use afpa_routing::{Captures, RequestView, Route};

use super::Class;

/// The number of a request's class: that of its route, or else the first whose conditions hold. None has the defaults.
/// The client's address is absent where it has none, at a Unix socket: then a class for some networks is not its.
pub fn class_of(
    classes: &[Class],
    route: Option<&Route>,
    request: &RequestView<'_>,
    client: Option<IpAddr>,
    captures: &mut Captures,
) -> Option<usize> {
    let of_route = route.and_then(|route| route.class);
    of_route.or_else(|| classes.iter().position(|class| class.takes(request, client, captures)))
}

impl Class {
    fn takes(&self, request: &RequestView<'_>, client: Option<IpAddr>, captures: &mut Captures) -> bool {
        let is_from = |client: IpAddr| self.clients.iter().any(|network| network.contains(client));
        self.has_conditions()
            && (self.clients.is_empty() || client.is_some_and(is_from))
            && (self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(request.host)))
            && self.path.matches(request.path)
            && self.conditions.hold(request, captures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afpa_routing::PathCondition;

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
            let class = class_of(&classes, Some(&route), &request, client.parse().ok(), &mut Captures::new());
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
