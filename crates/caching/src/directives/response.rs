//! What an origin tells caches (RFC 9111 §5.2.2, RFC 5861, RFC 8246, RFC 9213).

use super::dictionary;
use super::directive::{Argument, Directive};
use super::request::lower;
use crate::fields::Fields;
use crate::list::Members;

/// A response's directives. What restricts a cache counts even with an argument that it should not have,
/// what allows something only without; a number that is not understood is read as 0 (RFC 9111 §4.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ResponseDirectives<'a> {
    pub no_store: bool,
    /// Without names of fields.
    pub no_cache: bool,
    /// Without names of fields.
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub immutable: bool,
    pub no_transform: bool,
    pub max_age: Option<u32>,
    pub s_maxage: Option<u32>,
    pub stale_while_revalidate: Option<u32>,
    pub stale_if_error: Option<u32>,
    /// The fields that `no-cache` or `private` name: they are not to be stored.
    pub field_names: Vec<&'a [u8]>,
    /// They come from a targeted field: then Cache-Control and Expires say nothing (RFC 9213 §2.2).
    pub is_targeted: bool,
}

impl<'a> ResponseDirectives<'a> {
    /// Reads the first of `targeted` fields that is there, not empty, and a dictionary without fault; if there
    /// is none, Cache-Control.
    pub fn parse(fields: Fields<'a>, targeted: &[Box<[u8]>]) -> Self {
        targeted.iter().find_map(|name| Self::parse_targeted(fields, name)).unwrap_or_else(|| {
            let mut directives = Self::default();
            fields.members(b"cache-control").map(Directive::of).for_each(|directive| directives.add(directive));
            directives
        })
    }

    fn parse_targeted(fields: Fields<'a>, name: &[u8]) -> Option<Self> {
        let members = dictionary::parse(fields.lines(name))?;
        let mut directives = Self { is_targeted: true, ..Self::default() };
        for member in members {
            directives.add(member);
        }
        Some(directives)
    }

    /// Whether a lifetime is given here.
    pub fn has_lifetime(&self) -> bool {
        self.s_maxage.is_some() || self.max_age.is_some()
    }

    fn add(&mut self, directive: Directive<'a>) {
        let has_argument = directive.argument != Argument::None;
        let seconds = directive.argument.seconds();
        if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("no-cache") {
            self.no_cache |= self.is_unqualified(directive.argument);
        } else if directive.is("private") {
            self.private |= self.is_unqualified(directive.argument);
        } else if directive.is("must-revalidate") {
            self.must_revalidate = true;
        } else if directive.is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if directive.is("no-transform") {
            self.no_transform = true;
        } else if directive.is("public") {
            self.public |= !has_argument;
        } else if directive.is("must-understand") {
            self.must_understand |= !has_argument;
        } else if directive.is("immutable") {
            // RFC 8246 §2: an argument is to be ignored.
            self.immutable = true;
        } else if directive.is("max-age") {
            lower(&mut self.max_age, seconds.unwrap_or(0));
        } else if directive.is("s-maxage") {
            lower(&mut self.s_maxage, seconds.unwrap_or(0));
        } else if directive.is("stale-while-revalidate") {
            lower(&mut self.stale_while_revalidate, seconds.unwrap_or(0));
        } else if directive.is("stale-if-error") {
            lower(&mut self.stale_if_error, seconds.unwrap_or(0));
        }
    }

    /// Whether the directive is about the whole response; otherwise the fields that it names are noted.
    fn is_unqualified(&mut self, argument: Argument<'a>) -> bool {
        let names: Option<Members<'a>> = argument.field_names();
        let is_unqualified = names.is_none();
        self.field_names.extend(names.into_iter().flatten());
        is_unqualified
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targeted() -> Vec<Box<[u8]>> {
        vec![b"Own-Cache-Control".as_slice().into(), b"CDN-Cache-Control".as_slice().into()]
    }

    fn parse<'a>(lines: &'a [(&'a [u8], &'a [u8])]) -> ResponseDirectives<'a> {
        ResponseDirectives::parse(Fields(lines), &targeted())
    }

    #[test]
    fn numbers_are_read_with_caution() {
        for (value, max_age) in [
            ("max-age=3600", Some(3600)),
            ("MaX-aGe=3600", Some(3600)),
            ("foobar, max-age=3600", Some(3600)),
            ("max-age=\"3600\"", Some(3600)),
            ("max-age=003600", Some(3600)),
            ("max-age=99999999999", Some(1 << 31)),
            ("max-age=1800, max-age=1", Some(1)),
            ("max-age=1, max-age=1800", Some(1)),
            ("extension=\"max-age=3600\", max-age=1", Some(1)),
            ("max-age=1, extension=\"max-age=3600\"", Some(1)),
            ("extension=\"max-age=3600\"", None),
            ("max-age", Some(0)),
            ("max-age=", Some(0)),
            ("max-age=-3600", Some(0)),
            ("max-age='3600'", Some(0)),
            ("max-age=3600.0", Some(0)),
            ("max-age=a3600", Some(0)),
            ("max-age=3600a", Some(0)),
            ("max-age =3600", Some(0)),
            ("max-age= 3600", Some(0)),
            ("max-age: 3600", None),
        ] {
            assert_eq!(parse(&[(b"Cache-Control", value.as_bytes())]).max_age, max_age, "{value}");
        }
    }

    #[test]
    fn names_of_fields_make_directives_milder() {
        let lines: [(&[u8], &[u8]); 1] = [(b"cache-control", b"no-cache=\"a, b\", private=c")];
        let directives = parse(&lines);
        assert!(!directives.no_cache && !directives.private);
        assert_eq!(directives.field_names, [b"a", b"b", b"c"]);
        for value in
            ["private", "private=\"\"", "private=\"a b\"", "private=\"a", "private =a", "private=\"a\", private"]
        {
            assert!(parse(&[(b"cache-control", value.as_bytes())]).private, "{value}");
        }
    }

    #[test]
    fn restrictions_count_with_arguments_and_permissions_do_not() {
        let restricted =
            parse(&[(b"cache-control", b"no-store=1, must-revalidate=x, proxy-revalidate=, NO-transform=\"\"")]);
        assert!(restricted.no_store && restricted.must_revalidate);
        assert!(restricted.proxy_revalidate && restricted.no_transform);
        let allowed = parse(&[(b"cache-control", b"public=1, must-understand=x")]);
        assert!(!allowed.public && !allowed.must_understand);
        assert!(parse(&[(b"cache-control", b"extension=\"open, no-store")]).no_store);
    }

    #[test]
    fn the_first_valid_targeted_field_is_the_only_one_that_counts() {
        let cache_control: (&[u8], &[u8]) = (b"Cache-Control", b"no-store");
        for (value, max_age) in [
            ("max-age=10", Some(10)),
            ("foobar, max-age=10", Some(10)),
            ("max-age=10;a=\"b\", x=(1 2.5 tok), y=:aGk=:, z=?0", Some(10)),
            ("max-age=99999999999", Some(1 << 31)),
            ("max-age=-1", Some(0)),
            ("private", None),
        ] {
            let lines = [cache_control, (b"CDN-Cache-Control", value.as_bytes())];
            let directives = parse(&lines);
            assert!(directives.is_targeted && !directives.no_store, "{value}");
            assert_eq!(directives.max_age, max_age, "{value}");
        }
        for value in [
            "",
            "max-age=\"10\"",
            "max-age=10, &&&",
            "max-age =10",
            "max-age= 10",
            "max-age=10,",
            "Max-age=10",
            "max-age=1.5",
            "max-age",
        ] {
            let lines = [cache_control, (b"CDN-Cache-Control", value.as_bytes())];
            assert!(parse(&lines).no_store, "{value}");
        }
        let own: (&[u8], &[u8]) = (b"Own-Cache-Control", b"max-age=1");
        assert_eq!(parse(&[(b"CDN-Cache-Control", b"max-age=9"), own]).max_age, Some(1));
        let names = parse(&[(b"CDN-Cache-Control", b"private=\"set-cookie\", public=?0")]);
        assert!(!names.private && !names.public);
        assert_eq!(names.field_names, [b"set-cookie"]);
    }
}
