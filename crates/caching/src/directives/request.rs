//! What a client asks of caches (RFC 9111 §5.2.1).

use super::directive::Directive;
use crate::fields::Fields;

/// A request's directives. A number that is missing or not understood is read as the one that asks for most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Nothing of the exchange is to be stored.
    pub no_store: bool,
    /// A stored response is to be validated first.
    pub no_cache: bool,
    /// The origin is not to be asked.
    pub only_if_cached: bool,
    /// The content is not to be transformed.
    pub no_transform: bool,
    /// The greatest age that will do, in seconds.
    pub max_age: Option<u32>,
    /// For how many more seconds the response is to be fresh.
    pub min_fresh: Option<u32>,
    /// For how many seconds the response may have been stale; without a number, `u32::MAX`.
    pub max_stale: Option<u32>,
    /// For how many seconds the response may have been stale if the origin fails (RFC 5861 §4).
    pub stale_if_error: Option<u32>,
}

impl RequestDirectives {
    /// Reads the Cache-Control field; without one, `Pragma: no-cache` means `no-cache`.
    pub fn parse(fields: Fields<'_>) -> Self {
        let mut directives = Self::default();
        let mut has_cache_control = false;
        for (name, value) in fields.0 {
            if name.eq_ignore_ascii_case(b"cache-control") {
                has_cache_control = true;
                crate::list::Members::of(value).map(Directive::of).for_each(|directive| directives.add(directive));
            }
        }
        if !has_cache_control {
            directives.no_cache = fields.members(b"pragma").any(|member| member.eq_ignore_ascii_case(b"no-cache"));
        }
        directives
    }

    /// Whether nothing is asked: then a fresh response answers.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Without what would make a cache ask the origin although it has a fresh response. That nothing is to be stored
    /// binds nevertheless: [`crate::Policy::store`] looks at the field itself.
    pub fn without_demands(self) -> Self {
        Self { no_store: false, no_cache: false, max_age: None, min_fresh: None, ..self }
    }

    fn add(&mut self, directive: Directive<'_>) {
        let seconds = directive.argument.seconds();
        if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("no-cache") {
            self.no_cache = true;
        } else if directive.is("only-if-cached") {
            self.only_if_cached = true;
        } else if directive.is("no-transform") {
            self.no_transform = true;
        } else if directive.is("max-age") {
            lower(&mut self.max_age, seconds.unwrap_or(0));
        } else if directive.is("min-fresh") {
            self.min_fresh = self.min_fresh.max(Some(seconds.unwrap_or(u32::MAX)));
        } else if directive.is("max-stale") {
            let any = (directive.argument == super::directive::Argument::None).then_some(u32::MAX);
            lower(&mut self.max_stale, seconds.or(any).unwrap_or(0));
        } else if directive.is("stale-if-error") {
            lower(&mut self.stale_if_error, seconds.unwrap_or(0));
        }
    }
}

/// Of two numbers for the same directive, the lower one holds.
pub(super) fn lower(value: &mut Option<u32>, other: u32) {
    *value = Some(value.map_or(other, |value| value.min(other)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[(&str, &str)]) -> RequestDirectives {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        RequestDirectives::parse(Fields(&lines))
    }

    #[test]
    fn each_directive_is_understood() {
        let none = RequestDirectives::default();
        assert!(none.is_empty());
        for (value, expected) in [
            ("", none),
            ("foo, bar=1", none),
            ("No-Store", RequestDirectives { no_store: true, ..none }),
            ("no-cache", RequestDirectives { no_cache: true, ..none }),
            ("only-if-cached,no-transform", RequestDirectives { only_if_cached: true, no_transform: true, ..none }),
            ("max-age=5", RequestDirectives { max_age: Some(5), ..none }),
            ("max-age=5, max-age=3", RequestDirectives { max_age: Some(3), ..none }),
            ("max-age=x", RequestDirectives { max_age: Some(0), ..none }),
            ("min-fresh=\"20\"", RequestDirectives { min_fresh: Some(20), ..none }),
            ("min-fresh", RequestDirectives { min_fresh: Some(u32::MAX), ..none }),
            ("max-stale", RequestDirectives { max_stale: Some(u32::MAX), ..none }),
            ("max-stale=10", RequestDirectives { max_stale: Some(10), ..none }),
            ("max-stale=-1", RequestDirectives { max_stale: Some(0), ..none }),
            ("stale-if-error=60", RequestDirectives { stale_if_error: Some(60), ..none }),
        ] {
            assert_eq!(parse(&[("cache-control", value)]), expected, "{value}");
        }
    }

    #[test]
    fn pragma_counts_where_cache_control_is_absent() {
        assert!(parse(&[("Pragma", "foo, No-Cache")]).no_cache);
        assert!(!parse(&[("Pragma", "foo")]).no_cache);
        assert!(!parse(&[("Pragma", "no-cache"), ("Cache-Control", "max-age=10")]).no_cache);
    }

    #[test]
    fn an_operator_may_take_demands_away() {
        let asked = parse(&[("Cache-Control", "no-cache, max-age=0, min-fresh=9, no-store, only-if-cached")]);
        let kept = asked.without_demands();
        assert_eq!(kept, RequestDirectives { only_if_cached: true, ..RequestDirectives::default() });
    }
}
