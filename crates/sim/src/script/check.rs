//! `expect` lines.

use crate::script::runner::Runner;
use crate::script::words::{Words, number};

/// What has to hold at this point.
pub(crate) enum Check {
    /// The connection's state, or `none` if there is no connection.
    State(String),
    Opened(bool),
    Finished(bool),
    /// `closed`, `reset`, `refused`, `timedout`, or `no`.
    Ended(String),
    /// Octets consumed.
    Received(u64),
    /// Octets of the application acknowledged.
    Acknowledged(u64),
    Connections(usize),
    /// A field of `Stats`, between two numbers.
    Stat(String, (u64, u64)),
    /// A field of `ConnectionInfo`: a text, or two numbers.
    Info(String, String),
}

impl Check {
    pub(crate) fn parse(words: &mut Words<'_>) -> Result<Check, String> {
        Ok(match words.word("what to expect")? {
            "state" => Check::State(words.word("a state")?.to_owned()),
            "opened" => Check::Opened(words.choice("yes or no")?),
            "finished" => Check::Finished(words.choice("yes or no")?),
            "ended" => Check::Ended(words.word("an ending")?.to_owned()),
            "received" => Check::Received(words.number("a count")?),
            "acknowledged" => Check::Acknowledged(words.number("a count")?),
            "connections" => Check::Connections(words.number("a count")?),
            "stat" => Check::Stat(words.word("a name")?.to_owned(), range(words.word("a number")?)?),
            "info" => Check::Info(words.word("a name")?.to_owned(), words.word("a value")?.to_owned()),
            other => return Err(format!("{other} is nothing to expect")),
        })
    }

    pub(crate) fn hold(&self, runner: &Runner) -> Result<(), String> {
        let application = &runner.flow().application;
        match self {
            Check::State(expected) => same("the state", expected, &runner.state()),
            Check::Opened(expected) => same("opened", expected, &application.opened),
            Check::Finished(expected) => same("finished", expected, &application.finished),
            Check::Ended(expected) => {
                let ending = application.ended.map_or("no".to_owned(), |ending| format!("{ending:?}").to_lowercase());
                same("ended", expected, &ending)
            }
            Check::Received(expected) => same("received", expected, &application.received),
            Check::Acknowledged(expected) => same("acknowledged", expected, &application.acknowledged),
            Check::Connections(expected) => same("connections", expected, &runner.tcp().connections()),
            Check::Stat(name, expected) => {
                let value = field(&format!("{:?}", runner.tcp().stats()), name)?;
                within(name, *expected, &value)
            }
            Check::Info(name, expected) => {
                let info = application.handle.and_then(|handle| runner.tcp().describe(handle));
                let value = field(&format!("{:?}", info.ok_or("there is no connection")?), name)?;
                match range(expected) {
                    Ok(expected) => within(name, expected, &value),
                    Err(_) => same(name, expected, &value),
                }
            }
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, seen: &T) -> Result<(), String> {
    if expected == seen { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {seen:?}")) }
}

fn within(name: &str, (from, to): (u64, u64), value: &str) -> Result<(), String> {
    match number::<u64>(value) {
        Ok(number) if (from..=to).contains(&number) => Ok(()),
        _ => Err(format!("{name}: expected {from}..{to}, got {value}")),
    }
}

fn range(word: &str) -> Result<(u64, u64), String> {
    let (from, to) = word.split_once("..").unwrap_or((word, word));
    Ok((number(from)?, number(to)?))
}

/// The value of a field in what `Debug` writes: so a script can name every one, without a table here.
fn field(text: &str, name: &str) -> Result<String, String> {
    let start = [format!("{{ {name}: "), format!(", {name}: ")];
    let at = start.iter().find_map(|start| text.find(start.as_str()).map(|at| at + start.len()));
    let rest = &text[at.ok_or_else(|| format!("there is no field {name}"))?..];
    let end = rest.find([',', ' ', '}']).unwrap_or(rest.len());
    Ok(rest[..end].to_owned())
}
