//! A query as a server reads it: everything that decides how it is answered, and nothing copied.

use super::{Class, Edns, FormError, HEADER_LEN, Header, Name, Opcode, Records, Type, flag, option, read_u16};

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question<'a> {
    /// The name, in the letter case of who asks.
    pub name: Name<'a>,
    /// The type.
    pub qtype: Type,
    /// The class.
    pub qclass: Class,
}

impl<'a> Question<'a> {
    /// Reads the question at the start of `octets`. Returns it with its length.
    ///
    /// # Errors
    /// There is none.
    #[inline]
    pub fn read(octets: &'a [u8]) -> Result<(Question<'a>, usize), FormError> {
        let name = Name::read(octets)?;
        let at = name.as_wire().len();
        let (qtype, qclass) = (Type(read_u16(octets, at)?), Class(read_u16(octets, at + 2)?));
        Ok((Question { name, qtype, qclass }, at + 4))
    }
}

/// A well-formed query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query<'a> {
    /// Its header.
    pub header: Header,
    /// What is asked; `None` for a query about a cookie only (RFC 7873 §5.4).
    pub question: Option<Question<'a>>,
    /// What its OPT record says, if it has one.
    pub edns: Option<Edns<'a>>,
    /// Where the question ends: header and question are the octets before it.
    pub question_end: usize,
}

/// A query that gets no answer of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unanswerable {
    /// Silence: shorter than a header, or a response. Answering could make two servers talk for ever.
    Silent,
    /// FORMERR, with the header alone.
    Malformed(Header, FormError),
    /// NOTIMP: the opcode is none that is served.
    Opcode(Header),
    /// BADVERS (RFC 6891 §6.1.3): EDNS of a later version.
    Version(Header),
}

impl<'a> Query<'a> {
    /// Reads a query.
    ///
    /// # Errors
    /// It is none that can be answered.
    #[inline]
    pub fn read(message: &'a [u8]) -> Result<Query<'a>, Unanswerable> {
        let Some(header) = Header::read(message).filter(|header| !header.has(flag::QR)) else {
            return Err(Unanswerable::Silent);
        };
        if !matches!(header.opcode(), Opcode::QUERY | Opcode::NOTIFY) {
            return Err(Unanswerable::Opcode(header));
        }
        let query = Query::read_body(message, header).map_err(|error| Unanswerable::Malformed(header, error))?;
        match query.edns {
            Some(edns) if edns.version > 0 => Err(Unanswerable::Version(header)),
            _ => Ok(query),
        }
    }

    fn read_body(message: &'a [u8], header: Header) -> Result<Query<'a>, FormError> {
        let (question, question_end) = match header.counts[0] {
            0 => (None, HEADER_LEN),
            1 => {
                let (question, len) = Question::read(&message[HEADER_LEN..])?;
                (Some(question), HEADER_LEN + len)
            }
            // RFC 9619 §4.
            _ => return Err(FormError::Questions),
        };
        let mut edns = None;
        let mut records = Records::at(message, question_end, &header);
        // A NOTIFY may carry the new SOA, an IXFR the old one; a query has nothing but OPT (and signatures, which
        // are not looked at).
        for record in records.by_ref() {
            let record = record?;
            if record.rtype != Type::OPT {
                continue;
            }
            // RFC 6891 §6.1.1: one, of the root, in the additional section.
            let is_root = message[record.owner_at] == 0;
            if edns.is_some() || !is_root || record.section != super::Section::Additional {
                return Err(FormError::Opt);
            }
            edns = Some(Edns::read(&record)?);
        }
        if records.position() != message.len() {
            return Err(FormError::Trailing);
        }
        let has_cookie = edns.is_some_and(|edns: Edns<'_>| edns.options.get(option::COOKIE).is_some());
        if question.is_none() && !has_cookie {
            return Err(FormError::Questions);
        }
        Ok(Query { header, question, edns, question_end })
    }

    /// Whether DNSSEC records are wanted (RFC 3225).
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}
