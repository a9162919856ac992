//! Reads master files (RFC 1035 §5).

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::data::{self, Words};
use super::error::{Reason, ZoneError};
use super::raw::{OwnerAt, RawRecords};
use super::scanner::{Budget, Entry, Scanner, Word};
use crate::message::{Class, Name, NameBuf, Type};

/// How deeply files may include files.
const MAX_DEPTH: usize = 8;
/// How many files a zone may consist of.
const MAX_FILES: usize = 10_000;

/// Reads the zone `apex` from a file and those that it includes.
pub(super) fn read_file(apex: Name<'_>, path: &Path, max_octets: u64) -> Result<RawRecords, ZoneError> {
    let read_error = |error: io::Error| ZoneError { file: path.into(), line: 0, reason: Reason::Read(error.kind()) };
    // What is included must lie in this directory, wherever links lead.
    let real = path.canonicalize().map_err(read_error)?;
    let directory = real.parent().map(Path::to_owned);
    let file = open(&real).map_err(read_error)?;
    let mut master = Master::new(apex, directory, max_octets);
    let mut context = Context::new(apex);
    master.file(path.into(), BufReader::new(file), &mut context, 0)?;
    Ok(master.records)
}

/// Reads the zone `apex` from text, which can include nothing. `file` is what errors call it.
pub(super) fn read_text(apex: Name<'_>, file: &Path, text: &[u8], max_octets: u64) -> Result<RawRecords, ZoneError> {
    let mut master = Master::new(apex, None, max_octets);
    master.file(file.into(), text, &mut Context::new(apex), 0)?;
    Ok(master.records)
}

struct Master<'a> {
    apex: Name<'a>,
    records: RawRecords,
    /// Where included files may be.
    directory: Option<PathBuf>,
    /// For all files together.
    budget: Budget,
}

/// What an entry may leave out, because one before it said it.
#[derive(Clone)]
struct Context {
    origin: NameBuf,
    owner: Option<OwnerAt>,
    /// `$TTL` (RFC 2308 §4).
    default_ttl: Option<u32>,
    /// The TTL stated last (RFC 1035 §5.1).
    last_ttl: Option<u32>,
}

impl Context {
    fn new(apex: Name<'_>) -> Context {
        Context { origin: apex.to_owned(), owner: None, default_ttl: None, last_ttl: None }
    }
}

impl<'a> Master<'a> {
    fn new(apex: Name<'a>, directory: Option<PathBuf>, max_octets: u64) -> Master<'a> {
        Master { apex, records: RawRecords::default(), directory, budget: Budget::new(max_octets) }
    }

    fn file(
        &mut self,
        path: PathBuf,
        input: impl BufRead,
        context: &mut Context,
        depth: usize,
    ) -> Result<(), ZoneError> {
        let file = self.records.files.len() as u16;
        self.records.files.push(path);
        let (mut scanner, mut entry) = (Scanner::new(input), Entry::default());
        loop {
            match scanner.next(&mut entry, &mut self.budget) {
                Err(reason) => return Err(self.records.error_at(file, scanner.line(), reason)),
                Ok(false) => return Ok(()),
                Ok(true) => {}
            }
            let at_line = |master: &Self, reason| master.records.error_at(file, entry.line, reason);
            match self.entry(&entry, file, context) {
                Err(reason) => return Err(at_line(self, reason)),
                Ok(None) => {}
                Ok(Some(include)) => {
                    let real = self.included(&include, depth).map_err(|reason| at_line(self, reason))?;
                    let opened = open(&real).map_err(|error| at_line(self, Reason::Read(error.kind())))?;
                    // RFC 1035 §5.1: the origin within does not change the one without; nor does the owner.
                    let mut within = Context { origin: include.origin, ..context.clone() };
                    self.file(real, BufReader::new(opened), &mut within, depth + 1)?;
                }
            }
        }
    }

    /// Reads one entry. Returns what file it includes, if it does.
    fn entry(&mut self, entry: &Entry, file: u16, context: &mut Context) -> Result<Option<Include>, Reason> {
        let mut words = Words::new(entry);
        match words.peek() {
            Some(Word { text: [b'$', ..], quoted: false }) if !entry.starts_blank => directive(&mut words, context),
            _ => self.record(&mut words, entry, file, context).map(|()| None),
        }
    }

    fn record(&mut self, words: &mut Words<'_>, entry: &Entry, file: u16, context: &mut Context) -> Result<(), Reason> {
        if !entry.starts_blank {
            context.owner = Some(self.owner(words.required("an owner")?, context)?);
        }
        let owner = context.owner.ok_or(Reason::NoOwner)?;
        let (stated, rtype) = ttl_class_and_type(words)?;
        // RFC 2308 §4: `$TTL` where none is stated; RFC 1035 §5.1: without it, the last one that was.
        let ttl = stated.or(context.default_ttl).or(context.last_ttl);
        context.last_ttl = stated.or(context.last_ttl);
        let ttl = match (ttl, rtype) {
            (Some(ttl), _) => ttl,
            // The first record has nothing before it: its own last number.
            (None, Type::SOA) => 0,
            (None, _) => return Err(Reason::NoTtl),
        };
        let (mut minimum, needs_ttl) = (0, stated.is_none() && context.default_ttl.is_none());
        let origin = context.origin.as_name();
        self.records.push(owner, rtype, ttl, (file, entry.line), |out| {
            let start = out.len();
            data::read(rtype, words, origin, out)?;
            minimum = out[start..].last_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
            Ok(())
        })?;
        if rtype == Type::SOA && needs_ttl && context.last_ttl.is_none() {
            let minimum = data::lifetime(minimum);
            context.last_ttl = Some(minimum);
            self.records.set_last_ttl(minimum);
        }
        Ok(())
    }

    /// The owner that `word` is; the last one, if it is the same.
    fn owner(&mut self, word: Word<'_>, context: &Context) -> Result<OwnerAt, Reason> {
        let mut wire = Vec::with_capacity(64);
        data::name(word, context.origin.as_name(), &mut wire)?;
        let name = Name::kept(&wire);
        if let Some(last) = context.owner.filter(|last| self.records.owner_name(*last) == name) {
            return Ok(last);
        }
        if !name.is_within(self.apex) {
            return Err(Reason::Outside(name.to_owned()));
        }
        self.records.owner(name)
    }

    /// The file that is meant: in the directory of the zone's file or below it, after links were followed.
    fn included(&self, include: &Include, depth: usize) -> Result<PathBuf, Reason> {
        if depth >= MAX_DEPTH || self.records.files.len() >= MAX_FILES {
            return Err(Reason::IncludeLimit);
        }
        let outside = || Reason::IncludeOutside(include.shown.clone());
        let directory = self.directory.as_ref().ok_or_else(outside)?;
        let real = directory.join(&include.path).canonicalize().map_err(|error| Reason::Read(error.kind()))?;
        if real.starts_with(directory) && real.is_file() { Ok(real) } else { Err(outside()) }
    }
}

/// A `$INCLUDE`.
struct Include {
    path: String,
    /// The path for messages.
    shown: String,
    origin: NameBuf,
}

fn directive(words: &mut Words<'_>, context: &mut Context) -> Result<Option<Include>, Reason> {
    let word = words.required("a directive")?;
    let mut include = None;
    if word.text.eq_ignore_ascii_case(b"$ORIGIN") {
        context.origin = origin(words.required("a name")?, context)?;
    } else if word.text.eq_ignore_ascii_case(b"$TTL") {
        let word = words.required("a time in seconds")?;
        context.default_ttl =
            Some(data::seconds(word.text).map(data::lifetime).ok_or_else(|| word.bad("time in seconds"))?);
    } else if word.text.eq_ignore_ascii_case(b"$INCLUDE") {
        let path = words.required("a file")?;
        let origin = words.next().map(|word| origin(word, context)).transpose()?;
        let (shown, path) = (path.shown(), path.as_str().to_owned());
        include = Some(Include { path, shown, origin: origin.unwrap_or_else(|| context.origin.clone()) });
    } else {
        return Err(Reason::Directive(word.shown()));
    }
    match words.next() {
        Some(word) => Err(Reason::Trailing(word.shown())),
        None => Ok(include),
    }
}

fn origin(word: Word<'_>, context: &Context) -> Result<NameBuf, Reason> {
    let mut wire = Vec::new();
    data::name(word, context.origin.as_name(), &mut wire)?;
    Ok(Name::kept(&wire).to_owned())
}

/// `[TTL] [class] type` or `[class] [TTL] type` (RFC 1035 §5.1).
fn ttl_class_and_type(words: &mut Words<'_>) -> Result<(Option<u32>, Type), Reason> {
    let (mut ttl, mut class) = (None, None);
    loop {
        let word = words.required("a type")?;
        let text = word.as_str();
        if ttl.is_none() && text.starts_with(|first: char| first.is_ascii_digit()) {
            ttl = Some(data::seconds(word.text).map(data::lifetime).ok_or_else(|| word.bad("time in seconds"))?);
        } else if class.is_none()
            && let Ok(found) = text.parse::<Class>()
        {
            if found != Class::IN {
                return Err(Reason::Class(found));
            }
            class = Some(found);
        } else {
            let rtype: Type = text.parse().map_err(|_| Reason::UnknownType(word.shown()))?;
            return if rtype.is_meta() { Err(Reason::MetaType(rtype)) } else { Ok((ttl, rtype)) };
        }
    }
}

/// Opens a file; what is none (a pipe, say) would block, and is an error.
fn open(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::open(path)
}
