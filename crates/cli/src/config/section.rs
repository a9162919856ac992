//! Reads one table of the configuration, key by key, and reports what is wrong with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Diagnostic;
use super::direct::{Checksum, Congestion, Frames, Handshake, Transport};
use super::model::{Cores, Interface, LogFormat, Respond};
use crate::units::{ListenAddress, Malformed, Size, Span};

/// Collects errors, and where each key was written.
pub(super) struct Report<'s> {
    source: &'s str,
    diagnostics: RefCell<Vec<Diagnostic>>,
    places: RefCell<BTreeMap<String, usize>>,
}

impl<'s> Report<'s> {
    pub(super) fn new(source: &'s str) -> Report<'s> {
        Report { source, diagnostics: RefCell::default(), places: RefCell::default() }
    }

    pub(super) fn error(&self, offset: usize, message: String) {
        self.push(Diagnostic::at(self.source, offset, message));
    }

    pub(super) fn push(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    fn place(&self, key: String, offset: usize) {
        self.places.borrow_mut().insert(key, offset);
    }

    /// The errors, and the octet offset of each value that was written.
    pub(super) fn into_parts(self) -> (Vec<Diagnostic>, BTreeMap<String, usize>) {
        (self.diagnostics.into_inner(), self.places.into_inner())
    }
}

/// A value that can stand behind a key.
pub(super) trait FromValue: Sized {
    /// Reads it, or says what was expected and what was found.
    fn from_value(value: &DeValue<'_>) -> Result<Self, String>;
}

/// One table and what is known about it.
pub(super) struct Section<'s> {
    report: &'s Report<'s>,
    /// The path from the root with a final dot, empty for the root: `site.`.
    prefix: String,
    table: &'s DeTable<'s>,
    known: Vec<&'static str>,
}

impl<'s> Section<'s> {
    pub(super) fn root(report: &'s Report<'s>, table: &'s DeTable<'s>) -> Section<'s> {
        Section { report, prefix: String::new(), table, known: Vec::new() }
    }

    /// Replaces `into` by the value of `key` if there is one.
    pub(super) fn read<T: FromValue>(&mut self, key: &'static str, into: &mut T) {
        if let Some(value) = self.optional(key) {
            *into = value;
        }
    }

    /// The value of `key`, if it is there and well written.
    pub(super) fn optional<T: FromValue>(&mut self, key: &'static str) -> Option<T> {
        let value = self.find(key)?;
        self.convert(format!("{}{key}", self.prefix), value)
    }

    /// A text that may have any length and lines of its own.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.find(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(text.to_owned()),
            None => {
                self.report.error(value.span().start, self.wrong(key, "a string", value.get_ref()));
                None
            }
        }
    }

    /// Like [`Section::optional`], and an error if `key` is missing.
    pub(super) fn required<T: FromValue>(&mut self, key: &'static str, offset: usize) -> Option<T> {
        if !self.has(key) {
            self.report.error(offset, format!("{}{key}: expected a value, found none", self.prefix));
        }
        self.optional(key)
    }

    /// An integer within `allowed`.
    pub(super) fn count<N>(&mut self, key: &'static str, allowed: RangeInclusive<N>, into: &mut N)
    where
        N: TryFrom<i64> + PartialOrd + Display,
    {
        let Some(value) = self.find(key) else { return };
        let number = integer(value.get_ref()).and_then(|n| N::try_from(n).ok()).filter(|n| allowed.contains(n));
        match number {
            Some(number) => {
                self.report.place(format!("{}{key}", self.prefix), value.span().start);
                *into = number;
            }
            None => {
                let expected = format!("a number from {} to {}", allowed.start(), allowed.end());
                self.report.error(value.span().start, self.wrong(key, &expected, value.get_ref()));
            }
        }
    }

    /// Replaces `into` by the values of a list; a single value stands for a list of one.
    pub(super) fn list<T: FromValue>(&mut self, key: &'static str, into: &mut Vec<T>) {
        let Some(value) = self.find(key) else { return };
        let path = format!("{}{key}", self.prefix);
        self.report.place(path.clone(), value.span().start);
        let items = value.get_ref().as_array().map_or(std::slice::from_ref(value), |array| &array[..]);
        *into = items.iter().enumerate().filter_map(|(i, item)| self.convert(format!("{path}[{i}]"), item)).collect();
    }

    /// Replaces `into` by the pairs of a table whose keys are values, too; `example` shows one.
    pub(super) fn pairs<K: FromStr, V: FromValue>(&mut self, key: &'static str, example: &str, into: &mut Vec<(K, V)>) {
        let Some(value) = self.find(key) else { return };
        let path = format!("{}{key}", self.prefix);
        self.report.place(path.clone(), value.span().start);
        let expected = format!("a table such as {example}");
        let Some(table) = value.get_ref().as_table() else {
            self.report.error(value.span().start, self.wrong(key, &expected, value.get_ref()));
            return;
        };
        into.clear();
        for (name, value) in table {
            let text: &str = name.get_ref();
            match text.parse() {
                Ok(name) => into.extend(self.convert(format!("{path}.{text}"), value).map(|value| (name, value))),
                Err(_) => {
                    let found = shorten(text);
                    self.report
                        .error(name.span().start, format!("{path}: expected {expected}, found the key {found:?}"));
                }
            }
        }
    }

    /// The table under `key`, with the offset of its heading.
    pub(super) fn section(&mut self, key: &'static str) -> Option<(Section<'s>, usize)> {
        let value = self.find(key)?;
        let path = format!("{}{key}", self.prefix);
        let Some(table) = value.get_ref().as_table() else {
            self.report.error(value.span().start, self.wrong(key, &format!("a section [{path}]"), value.get_ref()));
            return None;
        };
        Some((self.child(path, table, value.span().start), value.span().start))
    }

    /// The tables of the list under `key`, each with its offset.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<(Section<'s>, usize)> {
        let Some(value) = self.find(key) else { return Vec::new() };
        let expected = format!("sections [[{}{key}]]", self.prefix);
        let Some(items) = value.get_ref().as_array() else {
            self.report.error(value.span().start, self.wrong(key, &expected, value.get_ref()));
            return Vec::new();
        };
        self.report.place(format!("{}{key}", self.prefix), value.span().start);
        let mut sections = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match item.get_ref().as_table() {
                Some(table) => {
                    let path = format!("{}{key}[{i}]", self.prefix);
                    sections.push((self.child(path, table, item.span().start), item.span().start));
                }
                None => self.report.error(item.span().start, self.wrong(key, &expected, item.get_ref())),
            }
        }
        sections
    }

    /// Whether something is written behind `key`, well or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.keys().any(|name| name.get_ref() == key)
    }

    /// Reports that `key`, which should have been `expected`, is not there.
    pub(super) fn missing(&self, key: &'static str, expected: &str) {
        if !self.has(key) {
            self.report.error(0, format!("{}{key}: expected {expected}, found none", self.prefix));
        }
    }

    /// Reports what is wrong with the section at `offset` as a whole.
    pub(super) fn error(&self, offset: usize, message: &str) {
        self.report.error(offset, format!("{}: {message}", self.prefix.trim_end_matches('.')));
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let mut message = format!("unknown key {:?}", shorten(&format!("{}{name}", self.prefix)));
            match nearest(name, &self.known) {
                Some(near) => message.push_str(&format!("; did you mean {near:?}?")),
                None => message.push_str(&format!("; expected one of {}", self.known.join(", "))),
            }
            self.report.error(key.span().start, message);
        }
    }

    fn find(&mut self, key: &'static str) -> Option<&'s Spanned<DeValue<'s>>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        // The parser puts an empty value where it found none; that is already reported.
        let placeholder = value.span().is_empty() && value.get_ref().as_table().is_none();
        (!placeholder).then_some(value)
    }

    fn convert<T: FromValue>(&self, path: String, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let offset = value.span().start;
        match T::from_value(value.get_ref()) {
            Ok(converted) => {
                self.report.place(path, offset);
                Some(converted)
            }
            Err(message) => {
                self.report.error(offset, format!("{path}: {message}"));
                None
            }
        }
    }

    fn child(&self, path: String, table: &'s DeTable<'s>, offset: usize) -> Section<'s> {
        let prefix = format!("{path}.");
        self.report.place(path, offset);
        Section { report: self.report, prefix, table, known: Vec::new() }
    }

    fn wrong(&self, key: &str, expected: &str, found: &DeValue<'_>) -> String {
        format!("{}{key}: expected {expected}, found {}", self.prefix, describe(found))
    }
}

impl FromValue for bool {
    fn from_value(value: &DeValue<'_>) -> Result<bool, String> {
        value.as_bool().ok_or_else(|| format!("expected true or false, found {}", describe(value)))
    }
}

impl FromValue for String {
    fn from_value(value: &DeValue<'_>) -> Result<String, String> {
        let text = value.as_str().ok_or_else(|| format!("expected a string, found {}", describe(value)))?;
        // NUL and control characters have no place in a path, a name or a header field.
        if text.is_empty() || text.contains(char::is_control) {
            return Err(format!("expected a string without control characters, found {:?}", shorten(text)));
        }
        Ok(text.to_owned())
    }
}

impl FromValue for PathBuf {
    fn from_value(value: &DeValue<'_>) -> Result<PathBuf, String> {
        String::from_value(value).map(PathBuf::from)
    }
}

impl FromValue for Size {
    fn from_value(value: &DeValue<'_>) -> Result<Size, String> {
        match integer(value) {
            Some(octets) => u64::try_from(octets).map(Size).map_err(|_| format!("expected a size, found {octets}")),
            None => from_text(value, "a size such as \"64MiB\""),
        }
    }
}

impl FromValue for Span {
    fn from_value(value: &DeValue<'_>) -> Result<Span, String> {
        from_text(value, "a duration such as \"5s\"")
    }
}

impl FromValue for Cores {
    fn from_value(value: &DeValue<'_>) -> Result<Cores, String> {
        from_text(value, "CPU numbers such as \"0,2-3\", or \"all\"")
    }
}

impl FromValue for ListenAddress {
    fn from_value(value: &DeValue<'_>) -> Result<ListenAddress, String> {
        from_text(value, "an address such as \"127.0.0.1:8080\"")
    }
}

impl FromValue for Interface {
    fn from_value(value: &DeValue<'_>) -> Result<Interface, String> {
        from_text(value, "\"uring\", \"epoll\" or \"auto\"")
    }
}

impl FromValue for Respond {
    fn from_value(value: &DeValue<'_>) -> Result<Respond, String> {
        from_text(value, "\"inline\", \"thread\" or \"hybrid\"")
    }
}

impl FromValue for LogFormat {
    fn from_value(value: &DeValue<'_>) -> Result<LogFormat, String> {
        from_text(value, "\"text\", \"json\" or \"off\"")
    }
}

impl FromValue for Transport {
    fn from_value(value: &DeValue<'_>) -> Result<Transport, String> {
        from_text(value, "\"sockets\" or \"direct\"")
    }
}

impl FromValue for Frames {
    fn from_value(value: &DeValue<'_>) -> Result<Frames, String> {
        from_text(value, "\"xdp\", \"packet\", \"tap\" or \"auto\"")
    }
}

impl FromValue for Handshake {
    fn from_value(value: &DeValue<'_>) -> Result<Handshake, String> {
        from_text(value, "\"cookies\" or \"queue\"")
    }
}

impl FromValue for Checksum {
    fn from_value(value: &DeValue<'_>) -> Result<Checksum, String> {
        from_text(value, "\"stored\" or \"computed\"")
    }
}

impl FromValue for Congestion {
    fn from_value(value: &DeValue<'_>) -> Result<Congestion, String> {
        from_text(value, "\"reno\" or \"cubic\"")
    }
}

impl FromValue for std::net::SocketAddr {
    fn from_value(value: &DeValue<'_>) -> Result<std::net::SocketAddr, String> {
        match ListenAddress::from_value(value)? {
            ListenAddress::Inet(address) => Ok(address),
            ListenAddress::Unix(_) => Err(format!("expected an IP address and a port, found {}", describe(value))),
        }
    }
}

/// Reads what is written as text; `expected` says what that would be, with quotation marks.
pub(super) fn from_text<T: FromStr<Err = Malformed>>(value: &DeValue<'_>, expected: &str) -> Result<T, String> {
    let text = value.as_str().ok_or_else(|| format!("expected {expected}, found {}", describe(value)))?;
    text.parse().map_err(|malformed: Malformed| malformed.to_string())
}

/// Like [`from_text`]; a number stands for its digits.
pub(super) fn from_number_or_text<T: FromStr<Err = Malformed>>(
    value: &DeValue<'_>,
    expected: &str,
) -> Result<T, String> {
    match integer(value) {
        Some(number) => number.to_string().parse().map_err(|malformed: Malformed| malformed.to_string()),
        None => from_text(value, expected),
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A value as an error shows it.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {:?}", shorten(text)),
        DeValue::Integer(number) => format!("the integer {}", shorten(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", shorten(&number.to_string())),
        DeValue::Boolean(word) => word.to_string(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a section".into(),
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(57).chain("...".chars()).collect() }
}

/// The known key that `name` was probably meant to be.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    // Comparing costs the product of both lengths, and a key this long is no slip of the finger.
    if name.len() > 64 {
        return None;
    }
    let likeness = |candidate: &str| strsim::jaro_winkler(&name.replace('_', "-").to_lowercase(), candidate);
    let best =
        known.iter().copied().map(|candidate| (likeness(candidate), candidate)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.8).then_some(best.1)
}
