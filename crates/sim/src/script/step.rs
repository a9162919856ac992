//! One line of a script.

use std::time::Duration;

use crate::icmp::Complaint;
use crate::script::check::Check;
use crate::script::pattern::Pattern;
use crate::script::settings::Setting;
use crate::script::words::{Words, number, seconds};

/// A line and its number.
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) action: Action,
}

/// What a line says.
pub(crate) enum Action {
    /// `config NAME VALUE`: in force from the start, wherever it stands.
    Config(Setting),
    /// `ip 4`: runs over this version only.
    Ip(u8),
    /// `connect` instead of a listener.
    Call(Call),
    /// `flow PORT`: what follows concerns the peer's port.
    Flow(u16),
    /// `isn N`: a new incarnation of the flow, whose peer begins there.
    Isn(u32),
    /// `clock N`: the peer's timestamps begin there.
    Clock(u32),
    /// `< ...`: the peer sends.
    Receive(Pattern),
    /// `< icmp ...`: a router, or the peer's host, complains about a segment.
    Complain(Complaint, Quote),
    /// `> ...`: TCP sends, by default at once.
    Expect(Option<(Duration, Duration)>, Pattern),
    /// `+0.2`: time passes; what is sent meanwhile is expected next.
    Advance(Duration),
    /// `silent 0.2`: time passes, and nothing is sent.
    Silent(Duration),
    /// `handshake passive|active ...`.
    Handshake(bool, Pattern),
    /// `app ...`.
    App(App),
    /// `expect ...`.
    Check(Check),
    /// `drop N`: the next N segments of TCP are of no interest, or `drop all`.
    Drop(Option<usize>),
    /// `flood N`: so many SYNs from other addresses.
    Flood(u32),
}

/// The segment that an ICMP message quotes.
pub(crate) struct Quote {
    pub(crate) sequence: u32,
    pub(crate) length: usize,
}

/// What the application calls.
pub(crate) enum Call {
    Connect,
    Write(usize),
    Pin(usize),
    Finish,
    Close,
    Abort,
    Read(usize),
    StopListening,
}

/// How the application behaves.
pub(crate) enum App {
    /// Whether it consumes input at once.
    Reads(bool),
    /// How many octets it sends in the context of the next input, and what it does then.
    Answers(usize, Afterwards),
}

/// What follows an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    Nothing,
    Finish,
    Close,
}

impl Action {
    pub(crate) fn parse(line: &str) -> Result<Action, String> {
        if let Some(rest) = line.strip_prefix("< icmp ") {
            return complaint(&mut Words::new(rest));
        }
        if let Some(rest) = line.strip_prefix('<') {
            return Pattern::parse(rest).map(Action::Receive);
        }
        if let Some(rest) = line.strip_prefix('>') {
            return expectation(rest);
        }
        if let Some(rest) = line.strip_prefix('+') {
            return seconds(rest).map(Action::Advance);
        }
        if let Some(rest) = line.strip_prefix("handshake ") {
            return handshake(rest);
        }
        let mut words = Words::new(line);
        let action = match words.word("a word")? {
            "config" => Action::Config(Setting::parse(&mut words)?),
            "ip" => Action::Ip(words.number("a version")?),
            "call" => Action::Call(call(&mut words)?),
            "flow" => Action::Flow(words.number("a port")?),
            "isn" => Action::Isn(words.number("a sequence number")?),
            "clock" => Action::Clock(words.number("a timestamp")?),
            "silent" => Action::Silent(words.seconds("a time")?),
            "app" => Action::App(app(&mut words)?),
            "expect" => Action::Check(Check::parse(&mut words)?),
            "drop" => Action::Drop(match words.word("a count")? {
                "all" => None,
                count => Some(number(count)?),
            }),
            "flood" => Action::Flood(words.number("a count")?),
            other => return Err(format!("{other} is no action")),
        };
        words.end()?;
        Ok(action)
    }
}

fn expectation(rest: &str) -> Result<Action, String> {
    let (first, others) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
    let Some((from, to)) = first.split_once("..") else { return Ok(Action::Expect(None, Pattern::parse(rest)?)) };
    let (from, to) = (seconds(from)?, seconds(to)?);
    if to < from {
        return Err(format!("{first} is no span of time"));
    }
    Ok(Action::Expect(Some((from, to)), Pattern::parse(others)?))
}

fn handshake(rest: &str) -> Result<Action, String> {
    let (who, others) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
    let passive = match who {
        "passive" => true,
        "active" => false,
        other => return Err(format!("{other} is neither passive nor active")),
    };
    Ok(Action::Handshake(passive, Pattern::parse(&format!("SYN {others}"))?))
}

fn call(words: &mut Words<'_>) -> Result<Call, String> {
    Ok(match words.word("a call")? {
        "connect" => Call::Connect,
        "write" => Call::Write(words.number("a count")?),
        "pin" => Call::Pin(words.number("a count")?),
        "finish" => Call::Finish,
        "close" => Call::Close,
        "abort" => Call::Abort,
        "read" => Call::Read(words.number("a count")?),
        "stop-listening" => Call::StopListening,
        other => return Err(format!("{other} is no call")),
    })
}

fn app(words: &mut Words<'_>) -> Result<App, String> {
    Ok(match words.word("a behaviour")? {
        "reads" => App::Reads(words.choice("yes or no")?),
        "answers" => {
            let count = words.number("a count")?;
            let afterwards = match words.next() {
                None => Afterwards::Nothing,
                Some("finish") => Afterwards::Finish,
                Some("close") => Afterwards::Close,
                Some(other) => return Err(format!("{other} is nothing that follows an answer")),
            };
            App::Answers(count, afterwards)
        }
        other => return Err(format!("{other} is no behaviour")),
    })
}

/// `too-big 1200 seq 1 len 1000`, `port-unreachable seq 0`.
fn complaint(words: &mut Words<'_>) -> Result<Action, String> {
    let complaint = match words.word("an error")? {
        "too-big" => Complaint::TooBig(words.number("an MTU")?),
        "port-unreachable" => Complaint::PortUnreachable,
        "host-unreachable" => Complaint::HostUnreachable,
        other => return Err(format!("{other} is no ICMP error")),
    };
    let mut quote = Quote { sequence: 0, length: 0 };
    while let Some(word) = words.next() {
        let value = words.word("a value")?;
        match word {
            "seq" => quote.sequence = number::<i64>(value)? as u32,
            "len" => quote.length = number(value)?,
            other => return Err(format!("{other} is nothing that is quoted")),
        }
    }
    Ok(Action::Complain(complaint, quote))
}
