//! What is well written and still cannot work.

use std::collections::HashSet;

use afpa_classes::MAX_CLASSES;
use afpa_http::quality::QualityPlan;
use afpa_routing::PathCondition;

use crate::config::Config;
use crate::config::problems::{Problem, size_within, span_within};
use crate::config::sites::field_names;
use crate::units::{Size, Span};

/// One more is that of requests without a class.
const MOST_CLASSES: usize = MAX_CLASSES - 1;

/// Everything that contradicts itself or lies outside its bounds. Looks at nothing but `config`.
pub(in crate::config) fn problems(config: &Config, found: &mut Vec<Problem>) {
    if config.classes.len() > MOST_CLASSES {
        let message = format!("expected at most {MOST_CLASSES} classes, found {}", config.classes.len());
        found.push(Problem::new("classes", message));
    }
    let mut names = HashSet::new();
    for (i, class) in config.classes.iter().enumerate() {
        let key = |name: &str| format!("classes[{i}].{name}");
        if !names.insert(&class.name) {
            found.push(Problem::new(key("name"), format!("expected each class once, found {:?} twice", class.name)));
        }
        if class.burst > 0 && class.rate == 0 {
            let message = format!("expected rate beside it, found none; without one, {} are not too many", class.burst);
            found.push(Problem::new(key("burst"), message));
        }
        if class.bandwidth.0 > 0 {
            size_within(key("bandwidth"), class.bandwidth, Size::kib(1), Size(1 << 40), found);
        }
        if let PathCondition::Prefix(prefix) = &class.rule.path
            && !prefix.starts_with('/')
        {
            let message = format!("expected a path that starts with /, found {prefix:?}");
            found.push(Problem::new(key("path-prefix"), message));
        }
        span_within(key("queue-timeout"), class.queue_timeout, Span::milliseconds(1), Span::seconds(3600), found);
        field_names(&format!("classes[{i}]"), &class.rule.conditions, found);
        let routed =
            config.sites.iter().flat_map(|site| &site.routes).any(|route| route.class.as_ref() == Some(&class.name));
        if class.rule.is_empty() && !routed && class.name != QualityPlan::DEFAULT {
            let message = "expected clients, hosts, path-prefix, methods, headers, cookies or query, \
                 or a route with this class, found none";
            found.push(Problem::new(format!("classes[{i}]"), message));
        }
    }
    let overload = &config.overload;
    let second = Span::seconds(1);
    span_within("overload.target-delay".into(), overload.target_delay, Span::seconds(0), second, found);
    span_within("overload.interval".into(), overload.interval, Span::milliseconds(1), Span::seconds(60), found);
    if overload.interval < overload.target_delay {
        let message = format!("expected at least target-delay, {}, found {}", overload.target_delay, overload.interval);
        found.push(Problem::new("overload.interval", message));
    }
}
