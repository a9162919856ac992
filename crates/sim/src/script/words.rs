//! The words of a line.

use std::str::FromStr;
use std::time::Duration;

/// The words of a line, taken one by one.
pub(crate) struct Words<'a> {
    rest: std::str::SplitAsciiWhitespace<'a>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Words<'a> {
        Words { rest: line.split_ascii_whitespace() }
    }

    pub(crate) fn next(&mut self) -> Option<&'a str> {
        self.rest.next()
    }

    /// The next word, which has to be there.
    pub(crate) fn word(&mut self, what: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("{what} is missing"))
    }

    pub(crate) fn number<N: FromStr>(&mut self, what: &str) -> Result<N, String> {
        number(self.word(what)?)
    }

    pub(crate) fn seconds(&mut self, what: &str) -> Result<Duration, String> {
        seconds(self.word(what)?)
    }

    /// Yes, on, true, or the contrary.
    pub(crate) fn choice(&mut self, what: &str) -> Result<bool, String> {
        match self.word(what)? {
            "yes" | "on" | "true" => Ok(true),
            "no" | "off" | "false" => Ok(false),
            other => Err(format!("{other} is neither yes nor no")),
        }
    }

    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.next().map_or(Ok(()), |word| Err(format!("{word} is one word too many")))
    }
}

pub(crate) fn number<N: FromStr>(word: &str) -> Result<N, String> {
    word.parse().map_err(|_| format!("{word} is no number that fits here"))
}

/// `0.2` is 200 ms.
pub(crate) fn seconds(word: &str) -> Result<Duration, String> {
    let seconds = word.parse().map_err(|_| format!("{word} is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{word} is no number of seconds"))
}
