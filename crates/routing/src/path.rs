//! Which paths a route is for.

use std::fmt;

use crate::pattern::Pattern;

/// Which paths a route is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathCondition {
    /// This path and no other.
    Exact(String),
    /// This path, and all below it: `/api` is for `/api` and `/api/x`, not for `/apis`. A slash at its end changes
    /// nothing.
    Prefix(String),
    /// Paths in which this is found.
    Regex(Pattern),
    /// All paths, and what is none: `OPTIONS *`, CONNECT.
    Any,
}

impl PathCondition {
    /// A prefix without the slash at its end; of `/`, nothing is left.
    pub(crate) fn stem(prefix: &str) -> &str {
        prefix.trim_end_matches('/')
    }

    /// Whether it holds for a path.
    pub fn matches(&self, path: &[u8]) -> bool {
        match self {
            PathCondition::Exact(own) => own.as_bytes() == path,
            PathCondition::Prefix(prefix) => is_below(path, PathCondition::stem(prefix).as_bytes()),
            PathCondition::Regex(pattern) => pattern.is_in(path),
            PathCondition::Any => true,
        }
    }
}

/// Whether `path` is `stem`, or below it.
pub(crate) fn is_below(path: &[u8], stem: &[u8]) -> bool {
    path.strip_prefix(stem).is_some_and(|rest| rest.first().map_or(!stem.is_empty(), |&octet| octet == b'/'))
}

impl fmt::Display for PathCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathCondition::Exact(path) => write!(f, "path {path}"),
            PathCondition::Prefix(prefix) => write!(f, "path-prefix {prefix}"),
            PathCondition::Regex(pattern) => write!(f, "path-regex {}", pattern.as_str()),
            PathCondition::Any => f.write_str("any path"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_where_segments_do() {
        for (prefix, path, holds) in [
            ("/api", "/api", true),
            ("/api", "/api/", true),
            ("/api", "/api/x", true),
            ("/api", "/apis", false),
            ("/api/", "/api", true),
            ("/", "/", true),
            ("/", "/x", true),
            ("/", "", false),
            ("/", "*", false),
        ] {
            assert_eq!(PathCondition::Prefix(prefix.into()).matches(path.as_bytes()), holds, "{prefix} {path}");
        }
    }
}
