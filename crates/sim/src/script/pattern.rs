//! A segment as a script writes it.

use std::str::FromStr;

use crate::flags::Flags;
use crate::script::words::number;

/// A segment with relative numbers: those of the peer count from its ISN, those of TCP from its own.
#[derive(Clone, Default)]
pub(crate) struct Pattern {
    pub(crate) flags: Flags,
    pub(crate) sequence: Option<u32>,
    pub(crate) acknowledgment: Option<u32>,
    /// At least and at most; what the peer sends has the lesser length.
    pub(crate) length: (usize, usize),
    pub(crate) window: Option<(u16, u16)>,
    pub(crate) urgent: u16,
    pub(crate) ecn: Option<u8>,
    /// All octets of the payload are this one, rather than those of the stream.
    pub(crate) fill: Option<u8>,
    /// The checksum is wrong.
    pub(crate) broken: bool,
    pub(crate) options: Vec<OptionPattern>,
}

/// An option of a [`Pattern`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum OptionPattern {
    Mss(Option<u16>),
    WindowScale(Option<u8>),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps {
        value: Option<u32>,
        echo: Option<Echo>,
    },
    Raw(Vec<u8>),
    /// The option of this name is not there.
    Absent(String),
}

/// What timestamps echo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Echo {
    /// This number.
    Exactly(u32),
    /// The last value that TCP has sent, plus so much.
    Last(i64),
}

impl Pattern {
    /// Reads `SYN,ACK seq 0 ack 1 win 65535 <mss 1460,sackOK>`.
    pub(crate) fn parse(text: &str) -> Result<Pattern, String> {
        let (head, options) = match text.split_once('<') {
            Some((head, options)) => {
                let (options, rest) = options.split_once('>').ok_or("the options have no end")?;
                if !rest.trim().is_empty() {
                    return Err(format!("{} stands behind the options", rest.trim()));
                }
                (head, options)
            }
            None => (text, ""),
        };
        let mut pattern = Pattern { options: OptionPattern::parse_all(options)?, ..Pattern::default() };
        let mut words = head.split_ascii_whitespace().peekable();
        pattern.broken = words.next_if_eq(&"broken").is_some();
        let flags = words.next().ok_or("the flags are missing")?;
        pattern.flags = Flags::named(flags).ok_or_else(|| format!("{flags} are no flags"))?;
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} has no value"))?;
            pattern.set(word, value)?;
        }
        Ok(pattern)
    }

    fn set(&mut self, word: &str, value: &str) -> Result<(), String> {
        match word {
            "seq" => self.sequence = Some(relative(value)?),
            "ack" => self.acknowledgment = Some(relative(value)?),
            "len" => self.length = span(value)?,
            "win" if value == "*" => self.window = None,
            "win" => self.window = Some(span(value)?),
            "urg" => self.urgent = number(value)?,
            "ecn" => {
                let names = ["not", "ect1", "ect0", "ce"];
                let bits = names.iter().position(|name| *name == value).ok_or_else(|| format!("{value} is no ECN"))?;
                self.ecn = Some(bits as u8);
            }
            "fill" => self.fill = Some(number(value)?),
            other => return Err(format!("{other} is no field")),
        }
        Ok(())
    }
}

/// `5` or `5..10`.
fn span<N: FromStr>(value: &str) -> Result<(N, N), String> {
    let (from, to) = value.split_once("..").unwrap_or((value, value));
    Ok((number(from)?, number(to)?))
}

/// A relative number; negative ones lie before the ISN.
fn relative(value: &str) -> Result<u32, String> {
    Ok(number::<i64>(value)? as u32)
}

impl OptionPattern {
    fn parse_all(text: &str) -> Result<Vec<OptionPattern>, String> {
        text.split(',').map(str::trim).filter(|option| !option.is_empty()).map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<OptionPattern, String> {
        if let Some(name) = text.strip_prefix('!') {
            let known = ["mss", "wscale", "sackOK", "sack", "TS"].contains(&name);
            return if known {
                Ok(OptionPattern::Absent(name.to_owned()))
            } else {
                Err(format!("{name} is no option"))
            };
        }
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        let any = |word: &&str| **word != *"*";
        Ok(match words.as_slice() {
            ["mss", value] => OptionPattern::Mss(Some(value).filter(|v| any(v)).map(|v| number(v)).transpose()?),
            ["wscale", value] => {
                OptionPattern::WindowScale(Some(value).filter(|v| any(v)).map(|v| number(v)).transpose()?)
            }
            ["sackOK"] => OptionPattern::SackPermitted,
            ["sack", blocks @ ..] => {
                OptionPattern::Sack(blocks.iter().map(|block| edges(block)).collect::<Result<_, _>>()?)
            }
            ["TS"] => OptionPattern::Timestamps { value: None, echo: None },
            ["TS", "val", value, "ecr", echo] => OptionPattern::Timestamps {
                value: Some(value).filter(|v| any(v)).map(|v| number(v)).transpose()?,
                echo: Some(echo).filter(|v| any(v)).map(|v| Echo::parse(v)).transpose()?,
            },
            ["raw", octets] => OptionPattern::Raw(hexadecimal(octets)?),
            _ => return Err(format!("{text} is no option")),
        })
    }

    /// The name of the option's kind.
    pub(crate) fn name(&self) -> &str {
        match self {
            OptionPattern::Mss(_) => "mss",
            OptionPattern::WindowScale(_) => "wscale",
            OptionPattern::SackPermitted => "sackOK",
            OptionPattern::Sack(_) => "sack",
            OptionPattern::Timestamps { .. } => "TS",
            OptionPattern::Raw(_) => "raw",
            OptionPattern::Absent(name) => name,
        }
    }
}

impl Echo {
    fn parse(word: &str) -> Result<Echo, String> {
        match word.strip_prefix("last") {
            Some("") => Ok(Echo::Last(0)),
            Some(offset) => number(offset).map(Echo::Last),
            None => number(word).map(Echo::Exactly),
        }
    }
}

fn edges(block: &str) -> Result<(u32, u32), String> {
    let (left, right) = block.split_once(':').ok_or_else(|| format!("{block} is no block"))?;
    Ok((relative(left)?, relative(right)?))
}

fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    let octet = |at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(|at| octet(at).ok_or_else(|| format!("{text} is not hexadecimal"))).collect()
}
