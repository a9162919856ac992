//! What an origin can be asked for: the target says how large the answer is, how long it takes, and who may keep it.

use std::time::Duration;

/// The largest document, in octets.
const MAX_SIZE: u64 = 1 << 30;
/// The longest that an answer, or the sending of one, can take.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// What a target that does not say otherwise may be kept for.
const CACHEABLE: &str = "max-age=3600";
/// The longest Cache-Control that is given back, in octets.
const MAX_CACHE_CONTROL: usize = 200;

/// What a target stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Resource {
    /// Octets.
    Document(Document),
    /// What the origin has counted.
    Counts,
}

/// A document of made-up octets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Document {
    /// Its length, in octets.
    pub(super) size: u64,
    /// How long it takes until the answer begins.
    pub(super) delay: Duration,
    /// Over which time its octets are sent.
    pub(super) spread: Duration,
    /// The value of its Cache-Control.
    pub(super) cache_control: String,
}

impl Resource {
    /// What `target` (a path and a query) stands for, if anything:
    ///
    /// - `/fixed/SIZE`: a document at once;
    /// - `/slow/MILLISECONDS/SIZE`: one that takes its time;
    /// - `/unique/SIZE/ANYTHING`: one with a name of its own;
    /// - `/counts`;
    /// - `/class/NAME` in front of any of these changes the target and nothing else.
    ///
    /// A query can have `cc=` (the Cache-Control, + for a space), `spread=` (milliseconds over which the octets are sent),
    /// and whatever else.
    pub(super) fn parse(target: &str) -> Option<Resource> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut segments = path.strip_prefix('/')?.split('/').peekable();
        if segments.next_if_eq(&"class").is_some() {
            segments.next()?;
        }
        let (size, delay) = match (segments.next()?, segments.next(), segments.next(), segments.next()) {
            ("counts", None, ..) => return Some(Resource::Counts),
            ("fixed", Some(size), None, _) | ("unique", Some(size), Some(_), _) => (size, Duration::ZERO),
            ("slow", Some(delay), Some(size), None) => (size, milliseconds(delay)?),
            _ => return None,
        };
        let size = size.parse().ok().filter(|size| *size <= MAX_SIZE)?;
        let cache_control = value(query, "cc").unwrap_or(CACHEABLE);
        let is_plain = cache_control.bytes().all(|b| b.is_ascii_graphic()) && cache_control.len() <= MAX_CACHE_CONTROL;
        is_plain.then_some(())?;
        let spread = value(query, "spread").map_or(Some(Duration::ZERO), milliseconds)?;
        Some(Resource::Document(Document { size, delay, spread, cache_control: cache_control.replace('+', " ") }))
    }
}

fn value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis).filter(|delay| *delay <= MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(target: &str) -> Option<(u64, u128, u128, String)> {
        match Resource::parse(target)? {
            Resource::Document(it) => {
                Some((it.size, it.delay.as_millis(), it.spread.as_millis(), it.cache_control.clone()))
            }
            Resource::Counts => None,
        }
    }

    #[test]
    fn a_target_says_size_time_and_who_may_keep_it() {
        for (target, size, delay, spread, cache_control) in [
            ("/fixed/1024", 1024, 0, 0, "max-age=3600"),
            ("/fixed/0?cc=no-store", 0, 0, 0, "no-store"),
            ("/fixed/7?run=1&cc=private,+max-age=5", 7, 0, 0, "private, max-age=5"),
            ("/slow/500/65536?spread=40", 65_536, 500, 40, "max-age=3600"),
            ("/unique/10/a/b/c", 10, 0, 0, "max-age=3600"),
            ("/class/gold/slow/1/2", 2, 1, 0, "max-age=3600"),
        ] {
            assert_eq!(document(target), Some((size, delay, spread, cache_control.to_owned())), "{target}");
        }
    }

    #[test]
    fn anything_else_is_not_there() {
        assert_eq!(Resource::parse("/counts"), Some(Resource::Counts));
        for target in [
            "",
            "/",
            "*",
            "fixed/1",
            "/fixed",
            "/fixed/",
            "/fixed/x",
            "/fixed/1/2",
            "/fixed/1073741825",
            "/slow/1",
            "/slow/60001/1",
            "/unique/1",
            "/class/gold",
            "/fixed/1?cc=a\tb",
            "/fixed/1?spread=x",
        ] {
            assert_eq!(Resource::parse(target), None, "{target}");
        }
    }
}
