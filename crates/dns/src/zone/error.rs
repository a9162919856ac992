//! Why a zone was not loaded.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::message::{Class, NameBuf, NameParseError, Type};

/// A zone that cannot be served: where, and why. The fault is the file's author's, but for [`Reason::Read`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; of a record over several lines, its first. 0 if it is the file as a whole.
    pub line: u32,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a line, or with the zone that the lines make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The file cannot be read.
    Read(io::ErrorKind),
    /// The files, or what they become in memory, exceed so many octets.
    LargeZone(u64),
    /// A line, or what parentheses make one, of more than so many octets.
    LongLine(usize),
    /// A quoted string that does not end on its line.
    Quotes,
    /// Parentheses that do not match.
    Parentheses,
    /// A name that is none.
    Name(NameParseError),
    /// The line starts with a blank, and no record came before it.
    NoOwner,
    /// A record has no TTL, and nothing set one before (RFC 2308 §4).
    NoTtl,
    /// Something that a record needs is missing.
    Missing(&'static str),
    /// A word that is not what it should be.
    Bad {
        /// What it should be.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// Something behind the end of a record.
    Trailing(String),
    /// A type that is not known by this name. `TYPE123` is (RFC 3597 §5).
    UnknownType(String),
    /// A type whose data have no presentation format here but the generic one (RFC 3597 §5).
    OnlyGeneric(Type),
    /// A type that no zone has: of questions, or of a message alone.
    MetaType(Type),
    /// A class other than IN.
    Class(Class),
    /// Data of more than 65535 octets.
    LongData,
    /// Data in the generic format that are not as long as announced (RFC 3597 §5), or none of their type.
    GenericData(Type),
    /// A `$` directive that is not known.
    Directive(String),
    /// `$INCLUDE` where there are no files, of something that is no file, or of one outside the zone file's directory.
    IncludeOutside(String),
    /// Files that include files, too deeply or too many.
    IncludeLimit,
    /// A record whose owner is not in the zone.
    Outside(NameBuf),
    /// No SOA at the apex.
    NoSoa,
    /// A second SOA (RFC 1035 §5.2).
    SecondSoa,
    /// An SOA at another name than the apex.
    SoaBelowApex(NameBuf),
    /// No NS at the apex.
    NoNs,
    /// A CNAME beside other data (RFC 1034 §3.6.2, RFC 2181 §10.1).
    CnameAndOther(NameBuf),
    /// A second record of a type of which a name has but one: CNAME (RFC 2181 §10.1), DNAME (RFC 6672 §2.4).
    Second(Type, NameBuf),
    /// A name below a DNAME (RFC 6672 §2.4).
    BelowDname(NameBuf),
    /// More than 65535 records of a name and type.
    ManyRecords(NameBuf),
    /// NSEC3 with more iterations than any validator follows (RFC 9276 §3.2).
    Iterations(u16),
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.reason)
    }
}

impl std::error::Error for ZoneError {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Read(kind) => write!(f, "cannot be read: {kind}"),
            Reason::LargeZone(limit) => write!(f, "the zone is larger than {limit} octets"),
            Reason::LongLine(limit) => write!(f, "a line of more than {limit} octets"),
            Reason::Quotes => f.write_str("a quoted string does not end on its line"),
            Reason::Parentheses => f.write_str("parentheses do not match"),
            Reason::Name(error) => error.fmt(f),
            Reason::NoOwner => f.write_str("the first record starts with a blank: it has no owner"),
            Reason::NoTtl => f.write_str("the record has no TTL and there is no $TTL before it"),
            Reason::Missing(what) => write!(f, "{what} is missing"),
            Reason::Bad { expected, found } => write!(f, "`{found}` is no {expected}"),
            Reason::Trailing(text) => write!(f, "`{text}` is behind the end of the record"),
            Reason::UnknownType(text) => write!(f, "`{text}` is no type; unknown ones are written TYPE123"),
            Reason::OnlyGeneric(rtype) => write!(f, "data of {rtype} are written `\\# length hexadecimal`"),
            Reason::MetaType(rtype) => write!(f, "{rtype} is no type of records in a zone"),
            Reason::Class(class) => write!(f, "class {class}; only IN is served"),
            Reason::LongData => f.write_str("data of more than 65535 octets"),
            Reason::GenericData(rtype) => write!(f, "these octets are no data of {rtype}, or not as many as announced"),
            Reason::Directive(text) => write!(f, "`{text}` is none of $ORIGIN, $INCLUDE and $TTL"),
            Reason::IncludeOutside(path) => write!(f, "`{path}` is no file in the directory of the zone's file"),
            Reason::IncludeLimit => f.write_str("files include files too deeply, or too many"),
            Reason::Outside(name) => write!(f, "{name} is not in the zone"),
            Reason::NoSoa => f.write_str("the zone has no SOA record"),
            Reason::SecondSoa => f.write_str("a second SOA record"),
            Reason::SoaBelowApex(name) => write!(f, "an SOA record at {name}, which is not the zone's name"),
            Reason::NoNs => f.write_str("the zone's name has no NS record"),
            Reason::CnameAndOther(name) => write!(f, "{name} has a CNAME record and others beside it"),
            Reason::Second(rtype, name) => write!(f, "{name} has two {rtype} records"),
            Reason::BelowDname(name) => write!(f, "{name} is below a name that has a DNAME record"),
            Reason::ManyRecords(name) => write!(f, "{name} has more than 65535 records of one type"),
            Reason::Iterations(count) => {
                write!(f, "NSEC3 with {count} iterations; more than 150 are ignored by validators")
            }
        }
    }
}

impl From<NameParseError> for Reason {
    fn from(error: NameParseError) -> Reason {
        Reason::Name(error)
    }
}
