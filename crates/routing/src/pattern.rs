//! Regular expressions over octets.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use regex_automata::meta::Regex;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::syntax;

/// A regular expression, searched for anywhere: `^` and `$` tie it to the ends. Case matters. It is over octets, not
/// characters, and a dot is any of them: what a pattern is to catch does not slip through as a line feed or as
/// octets that are no UTF-8.
///
/// The time of a search is linear in what is searched. Those of all threads that share one take what they work with
/// from one place; a clone has a place of its own.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// The longest pattern, in octets.
const LONGEST: usize = 1024;
/// The most memory that a compiled pattern takes, in octets.
const LARGEST: usize = 256 << 10;
/// The most memory that a search takes, in octets.
const WORKSPACE: usize = 256 << 10;
/// Groups that are remembered: the whole, and `$1` to `$9`.
pub(crate) const GROUPS: usize = 10;

impl Pattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How many groups can be referred to: 0 to 9.
    pub fn groups(&self) -> usize {
        self.regex.captures_len().saturating_sub(1).min(GROUPS - 1)
    }

    /// Whether it is found in `octets`.
    pub fn is_in(&self, octets: &[u8]) -> bool {
        self.regex.is_match(octets)
    }

    /// Whether it is found in `octets`; if so, where its groups are.
    pub fn find(&self, octets: &[u8], captures: &mut Captures) -> bool {
        captures.clear();
        let input = regex_automata::Input::new(octets);
        self.regex.search_slots(&input, &mut captures.slots).is_some()
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Pattern, PatternError> {
        if text.len() > LONGEST {
            return Err(PatternError(format!("it has more than {LONGEST} octets")));
        }
        let octets = syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true);
        let bounds = Regex::config()
            .utf8_empty(false)
            .nfa_size_limit(Some(LARGEST))
            .onepass_size_limit(Some(LARGEST))
            .hybrid_cache_capacity(WORKSPACE);
        match Regex::builder().syntax(octets).configure(bounds).build(text) {
            Ok(regex) => Ok(Pattern { text: text.to_owned(), regex }),
            Err(error) if error.size_limit().is_some() => {
                Err(PatternError(format!("it takes more than {} KiB once compiled", LARGEST >> 10)))
            }
            Err(error) => Err(PatternError(reason(&error))),
        }
    }
}

/// The last line of what is said of a pattern; the others draw it.
fn reason(error: &regex_automata::meta::BuildError) -> String {
    let said = match error.syntax_error() {
        Some(error) => error.to_string(),
        None => error.to_string(),
    };
    let last = said.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError(String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

/// Where the groups of a route's regular expression are in a path, and memory that a match works in. Made once, used
/// for one request after the other.
#[derive(Debug, Clone, Default)]
pub struct Captures {
    slots: [Option<NonMaxUsize>; 2 * GROUPS],
    pub(crate) scratch: Vec<u8>,
}

impl Captures {
    /// Without any group.
    pub fn new() -> Captures {
        Captures::default()
    }

    /// Where group `number` is, if it took part; 0 is the whole.
    pub fn group(&self, number: usize) -> Option<Range<usize>> {
        let slots = self.slots.get(2 * number..2 * number + 2)?;
        Some(slots[0]?.get()..slots[1]?.get())
    }

    /// The part of `octets`, which were searched, that is group `number`; nothing if it took no part.
    pub(crate) fn part<'a>(&self, number: usize, octets: &'a [u8]) -> &'a [u8] {
        self.group(number).and_then(|range| octets.get(range)).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.slots = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_is_any_octet() {
        let pattern: Pattern = "^/a/.*$".parse().unwrap();
        for octets in [&b"/a/"[..], b"/a/\n", b"/a/\xff\xfe", "/a/ü".as_bytes()] {
            assert!(pattern.is_in(octets), "{octets:?}");
        }
        assert!(!pattern.is_in(b"/A/"));
        assert!("ü".parse::<Pattern>().unwrap().is_in("/ü".as_bytes()));
    }

    #[test]
    fn groups_are_found_where_they_are() {
        let pattern: Pattern = "^/(a)?/(.*)$".parse().unwrap();
        let mut captures = Captures::new();
        assert!(pattern.find(b"//xy", &mut captures));
        assert_eq!(pattern.groups(), 2);
        assert_eq!((captures.group(0), captures.group(1), captures.group(2)), (Some(0..4), None, Some(2..4)));
        assert_eq!(captures.group(usize::MAX / 4), None);
        assert!(!pattern.find(b"x", &mut captures));
        assert_eq!(captures.group(0), None);
        let many: Pattern = "(a)".repeat(20).parse().unwrap();
        assert!(many.find("a".repeat(20).as_bytes(), &mut captures));
        assert_eq!((many.groups(), captures.group(9), captures.group(10)), (9, Some(8..9), None));
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused() {
        for (text, reason) in [
            ("(", "unclosed group"),
            ("a{1000000}", "it takes more than 256 KiB once compiled"),
            (r"\1", "backreferences are not supported"),
            (&"a".repeat(1025), "it has more than 1024 octets"),
        ] {
            assert_eq!(text.parse::<Pattern>().unwrap_err().to_string(), reason);
        }
    }
}
