//! Messages as they are on the wire: every field line, in order.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

/// Field lines. Text is Latin-1: one character is one octet.
#[derive(Clone, Default, Debug)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// The value; of several lines, all of them, as one list (RFC 9110 §5.2).
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let lines = self.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let values: Vec<_> = lines.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The number that a field's value starts with.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        leading_number(&self.get(name)?)
    }

    /// Each name that there is, and its value.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().filter_map(|(name, _)| Some((name.as_str(), self.get(name)?)))
    }

    /// Whether a field that is a list has a member.
    fn lists(&self, name: &str, member: &str) -> bool {
        self.get(name).is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(member)))
    }

    pub(crate) fn write(&self, message: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            message.extend(octets(name));
            message.extend(b": ");
            message.extend(octets(value));
            message.extend(b"\r\n");
        }
        message.extend(b"\r\n");
    }
}

/// Start line and fields.
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: Fields,
}

impl Head {
    /// Nothing, if the connection ends before it.
    pub(crate) fn read(stream: &mut impl BufRead) -> Result<Option<Head>> {
        let Some(start) = read_line(stream)? else { return Ok(None) };
        let mut fields = Fields::default();
        loop {
            let line = read_line(stream)?.ok_or(ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(Some(Head { start, fields }));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| Error::other(format!("no field: {line:?}")))?;
            fields.push(name, value.trim_matches([' ', '\t']));
        }
    }

    /// Whether the sender closes the connection after this message (RFC 9112 §9.3).
    pub(crate) fn is_last(&self) -> bool {
        let is_old = self.start.ends_with("HTTP/1.0");
        self.fields.lists("Connection", "close") || is_old && !self.fields.lists("Connection", "keep-alive")
    }

    /// What frames the body (RFC 9112 §6.3); without either, nothing does.
    pub(crate) fn framing(&self) -> Result<Framing> {
        if let Some(codings) = self.fields.get("Transfer-Encoding") {
            let is_chunked = codings.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
            return Ok(if is_chunked { Framing::Chunked } else { Framing::None });
        }
        let Some(length) = self.fields.get("Content-Length") else { return Ok(Framing::None) };
        let length = length.parse().map_err(|_| Error::other(format!("Content-Length {length:?}")))?;
        Ok(Framing::Length(length))
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
}

impl Framing {
    /// Reads a body; one that nothing frames goes on until the connection ends.
    pub(crate) fn read(self, stream: &mut impl BufRead) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        match self {
            Framing::None => drop(stream.read_to_end(&mut body)?),
            Framing::Length(length) => {
                body.resize(length, 0);
                stream.read_exact(&mut body)?;
            }
            Framing::Chunked => read_chunks(stream, &mut body)?,
        }
        Ok(body)
    }
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let line = read_line(stream)?.ok_or(ErrorKind::UnexpectedEof)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| Error::other(format!("a chunk of {line:?}")))?;
        if size == 0 {
            while !read_line(stream)?.ok_or(ErrorKind::UnexpectedEof)?.is_empty() {}
            return Ok(());
        }
        if stream.take(size).read_to_end(body)? as u64 != size || read_line(stream)? != Some(String::new()) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A line without its end; nothing, if the stream is at its end.
fn read_line(stream: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\n").ok_or(ErrorKind::UnexpectedEof)?;
    Ok(Some(text.strip_suffix(b"\r").unwrap_or(text).iter().map(|octet| char::from(*octet)).collect()))
}

pub(crate) fn octets(text: &str) -> impl Iterator<Item = u8> {
    text.chars().map(|character| u8::try_from(character).unwrap())
}

pub(crate) fn leading_number(text: &str) -> Option<i64> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}
