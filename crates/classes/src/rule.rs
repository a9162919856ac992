//! What a request must be like to belong to a class.

use std::net::IpAddr;

use crate::{ClassIndex, Network};

/// A rule: a request that meets all conditions belongs to the class. Empty lists demand nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// The client is in one of these.
    pub clients: Vec<Network>,
    /// The host is one of these.
    pub hosts: Vec<HostPattern>,
    /// The path is one of these, or below one of them: `/a` is for `/a` and `/a/b`, and not for `/ab`.
    pub paths: Vec<String>,
    /// Each of these fields has a value that passes; names in lower case.
    pub fields: Vec<(String, ValueTest)>,
    /// Each of these cookies has a value that passes; their names have a letter case.
    pub cookies: Vec<(String, ValueTest)>,
    /// The class.
    pub class: ClassIndex,
}

/// Which hosts. Letter case does not matter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// All names below this one, however deep, and not this one.
    Below(String),
}

/// Which values. Letter case matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueTest {
    /// Any.
    Present,
    /// This one.
    Equals(Vec<u8>),
    /// Those that start with this.
    Prefix(Vec<u8>),
}

/// What a classifier looks at.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// Who asks.
    pub client: IpAddr,
    /// The host that is asked for; a port behind it is not looked at.
    pub host: &'a [u8],
    /// The path without its query, normalized as it is for the files or backends behind it.
    pub path: &'a [u8],
    /// The header.
    pub fields: &'a dyn Fields,
}

/// A header, whatever keeps it.
pub trait Fields {
    /// Whether `test` holds for the value of any line of the field `name`, which is in lower case. White space around
    /// the value is not part of it.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// No fields.
impl Fields for () {
    fn any(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// Lines by name, in lower case, and value.
impl Fields for [(&str, &str)] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter().any(|(field, value)| *field == name && test(value.as_bytes()))
    }
}

/// As for a slice, which cannot be made a trait object.
impl<const COUNT: usize> Fields for [(&str, &str); COUNT] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.as_slice().any(name, test)
    }
}

impl HostPattern {
    /// `*.example.com` is all names below, anything else is the name itself.
    pub fn new(text: &str) -> HostPattern {
        match text.strip_prefix("*.") {
            Some(parent) => HostPattern::Below(parent.to_owned()),
            None => HostPattern::Exact(text.to_owned()),
        }
    }

    /// Whether it is for `host`.
    pub fn is_for(&self, host: &[u8]) -> bool {
        let host = without_port(host);
        match self {
            HostPattern::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
            HostPattern::Below(parent) => {
                let below = host.len().checked_sub(parent.len()).map(|at| host.split_at(at));
                below.is_some_and(|(front, back)| {
                    front.len() > 1 && front.ends_with(b".") && back.eq_ignore_ascii_case(parent.as_bytes())
                })
            }
        }
    }
}

impl ValueTest {
    /// Whether `value` passes.
    pub fn passes(&self, value: &[u8]) -> bool {
        match self {
            ValueTest::Present => true,
            ValueTest::Equals(wanted) => value == wanted,
            ValueTest::Prefix(wanted) => value.starts_with(wanted),
        }
    }
}

impl Rule {
    /// Whether all conditions hold, leaving out the client.
    pub(crate) fn holds_for(&self, request: &RequestView<'_>) -> bool {
        (self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.is_for(request.host)))
            && (self.paths.is_empty() || self.paths.iter().any(|path| is_at_or_below(request.path, path.as_bytes())))
            && self.fields.iter().all(|(name, test)| request.fields.any(name, &mut |value| test.passes(value)))
            && self.cookies.iter().all(|(name, test)| {
                request.fields.any("cookie", &mut |line| cookies(line, name).any(|value| test.passes(value)))
            })
    }
}

fn is_at_or_below(path: &[u8], prefix: &[u8]) -> bool {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The values of the cookies called `name` (RFC 6265 §4.2.1), without quotation marks around them.
fn cookies<'a>(line: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    line.split(|octet| *octet == b';').filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
    })
}

/// `host` without a port and without the dot of a name that is absolute.
fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
    let name = host[..host.len() - digits].strip_suffix(b":").unwrap_or(host);
    name.strip_suffix(b".").unwrap_or(name)
}
