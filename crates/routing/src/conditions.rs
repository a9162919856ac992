//! What a route asks of a request beside its path.

use std::fmt;

use crate::parameters::parameters;
use crate::pattern::{Captures, Pattern};
use crate::request::{RequestView, cookie};

/// All of it must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// The methods, in upper case; all if empty. Whoever allows GET allows HEAD, which asks for the same (RFC 9110
    /// §9.3.2).
    pub methods: Vec<String>,
    /// Everything else.
    pub others: Vec<Condition>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What is looked at.
    pub subject: Subject,
    /// What must hold of it.
    pub test: Test,
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A header field, in lower case. One line of it must pass.
    Field(String),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query, decoded. One value of it must pass.
    Query(String),
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It has this value.
    Equals(String),
    /// It starts so.
    Prefix(String),
    /// This is found in it.
    Regex(Pattern),
}

/// What does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure<'a> {
    Method(&'a [String]),
    Other(&'a Condition),
}

impl Conditions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.others.is_empty()
    }

    /// Whether all of them hold. `captures` is memory to work in.
    pub fn hold(&self, request: &RequestView<'_>, captures: &mut Captures) -> bool {
        self.first_failure(request, &mut captures.scratch).is_none()
    }

    /// The first that does not hold.
    pub(crate) fn first_failure(&self, request: &RequestView<'_>, scratch: &mut Vec<u8>) -> Option<Failure<'_>> {
        if !self.allow_method(request.method) {
            return Some(Failure::Method(&self.methods));
        }
        self.others.iter().find(|condition| !condition.holds(request, scratch)).map(Failure::Other)
    }

    fn allow_method(&self, method: &[u8]) -> bool {
        let asked: &[u8] = if method == b"HEAD" { b"GET" } else { method };
        self.methods.is_empty() || self.methods.iter().any(|own| own.as_bytes() == method || own.as_bytes() == asked)
    }

    /// Whether these hold wherever `others` do, as far as can be seen.
    pub(crate) fn cover(&self, others: &Conditions) -> bool {
        let methods = self.methods.is_empty()
            || !others.methods.is_empty() && others.methods.iter().all(|method| self.allow_method(method.as_bytes()));
        methods && self.others.iter().all(|condition| others.others.contains(condition))
    }
}

impl Condition {
    fn holds(&self, request: &RequestView<'_>, scratch: &mut Vec<u8>) -> bool {
        let mut seen = false;
        let mut passes = false;
        let mut look = |value: &[u8]| {
            seen = true;
            passes = self.test.passes(value);
            passes
        };
        match &self.subject {
            Subject::Field(name) => request.fields.each_value(name, &mut look),
            Subject::Cookie(name) => _ = cookie(request.fields, name).map(&mut look),
            Subject::Query(name) => {
                let mut named =
                    parameters(request.query.unwrap_or_default()).filter(|parameter| parameter.is_named(name));
                _ = named.any(|parameter| look(parameter.value(scratch)));
            }
        }
        if self.test == Test::Absent { !seen } else { passes }
    }
}

impl Test {
    fn passes(&self, value: &[u8]) -> bool {
        match self {
            Test::Present | Test::Absent => true,
            Test::Equals(expected) => value == expected.as_bytes(),
            Test::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
            Test::Regex(pattern) => pattern.is_in(value),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Field(name) => write!(f, "header {name}")?,
            Subject::Cookie(name) => write!(f, "cookie {name}")?,
            Subject::Query(name) => write!(f, "query parameter {name}")?,
        }
        match &self.test {
            Test::Present => f.write_str(" present"),
            Test::Absent => f.write_str(" absent"),
            Test::Equals(value) => write!(f, " = {value:?}"),
            Test::Prefix(prefix) => write!(f, " starting with {prefix:?}"),
            Test::Regex(pattern) => write!(f, " matching {:?}", pattern.as_str()),
        }
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Method(methods) => write!(f, "the method is none of {}", methods.join(", ")),
            Failure::Other(condition) => write!(f, "expected {condition}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(subject: Subject, test: Test) -> bool {
        let fields = [("X-A", "1"), ("x-a", "21"), ("Cookie", "s=abc; t=\"\"")];
        let request = RequestView {
            method: b"GET",
            host: b"a",
            path: b"/",
            query: Some(b"q=a%20b&q=c&e"),
            fields: &fields.to_vec(),
        };
        let conditions = Conditions { methods: Vec::new(), others: vec![Condition { subject, test }] };
        conditions.first_failure(&request, &mut Vec::new()).is_none()
    }

    #[test]
    fn fields_cookies_and_parameters_are_tested() {
        let field = |name: &str| Subject::Field(name.into());
        let cookie = |name: &str| Subject::Cookie(name.into());
        let query = |name: &str| Subject::Query(name.into());
        let equals = |value: &str| Test::Equals(value.into());
        let prefix = |value: &str| Test::Prefix(value.into());
        let regex = |value: &str| Test::Regex(value.parse().unwrap());
        for (subject, test, expected) in [
            (field("x-a"), Test::Present, true),
            (field("x-b"), Test::Present, false),
            (field("x-a"), Test::Absent, false),
            (field("x-b"), Test::Absent, true),
            (field("x-a"), equals("21"), true),
            (field("x-a"), equals("2"), false),
            (field("x-b"), equals(""), false),
            (field("x-a"), prefix("2"), true),
            (field("x-a"), regex("^[2-9]"), true),
            (field("x-a"), regex("^$"), false),
            (cookie("s"), equals("abc"), true),
            (cookie("S"), Test::Absent, true),
            (cookie("t"), equals(""), true),
            (query("q"), equals("a b"), true),
            (query("q"), equals("c"), true),
            (query("q"), equals("a%20b"), false),
            (query("e"), Test::Present, true),
            (query("e"), equals(""), true),
            (query("f"), Test::Absent, true),
        ] {
            let shown = format!("{subject:?} {test:?}");
            assert_eq!(holds(subject, test), expected, "{shown}");
        }
    }

    #[test]
    fn get_brings_head_along() {
        let conditions = |methods: &[&str]| Conditions {
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            others: Vec::new(),
        };
        assert!(conditions(&["GET"]).allow_method(b"HEAD"));
        assert!(!conditions(&["HEAD"]).allow_method(b"GET"));
        assert!(!conditions(&["GET"]).allow_method(b"get"));
        assert!(conditions(&["GET"]).cover(&conditions(&["HEAD"])));
        assert!(!conditions(&["GET"]).cover(&conditions(&["POST", "GET"])));
        assert!(!conditions(&["GET"]).cover(&conditions(&[])));
    }
}
