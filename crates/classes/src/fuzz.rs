//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use std::net::{IpAddr, Ipv4Addr};

use crate::{ClassIndex, Classifier, Fields, HostPattern, Priority, RequestView, Rule, ValueTest};

/// Reads `data` as the lines of a `Priority` field.
///
/// # Panics
/// If what was read is out of range, or if it depends on whether a request or a response says it.
pub fn priority(data: &[u8]) {
    let lines = || data.split(|octet| *octet == b'\n');
    let read = Priority::parse(lines());
    assert!(read.urgency() < 8, "an urgency of {}", read.urgency());
    assert_eq!(read.overridden_by(lines()), read, "said twice");
    for request in [Priority::new(0, true), Priority::new(7, false)] {
        let merged = request.overridden_by(lines());
        let is_said = merged.urgency() == read.urgency();
        assert!(is_said || merged.urgency() == request.urgency() && read == Priority::new(3, read.incremental));
    }
}

/// Classifies a request of which `data` has the host, the path and then lines of cookies.
///
/// # Panics
/// If a rule decides that does not hold.
pub fn classifier(data: &[u8]) {
    let mut lines = data.split(|octet| *octet == b'\n');
    let (host, path) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let cookies = Cookies(lines.collect());
    let classes: Vec<_> = (0..4).map(ClassIndex::at).collect();
    let rules = vec![
        Rule { hosts: vec![HostPattern::new("*.example.com")], class: classes[1], ..Rule::default() },
        Rule { paths: vec!["/a".to_owned()], class: classes[2], ..Rule::default() },
        Rule { cookies: vec![("a".to_owned(), ValueTest::Present)], class: classes[3], ..Rule::default() },
    ];
    let Ok(classifier) = Classifier::new(rules, classes[0]) else { return };
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let class = classifier.class(&RequestView { client, host, path, fields: &cookies });
    let contains = |octets: &[u8], part: &[u8]| octets.windows(part.len()).any(|window| window == part);
    assert!(class != classes[1] || contains(&host.to_ascii_lowercase(), b".example.com"));
    assert!(class != classes[2] || path.starts_with(b"/a"));
    assert!(class != classes[3] || cookies.0.iter().any(|line| contains(line, b"a=")));
}

struct Cookies<'a>(Vec<&'a [u8]>);

impl Fields for Cookies<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name == "cookie" && self.0.iter().any(|line| test(line))
    }
}
