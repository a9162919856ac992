//! A query as a server reads it: everything that decides how it is answered, and nothing copied.

use super::{
    Class, Edns, FormError, HEADER_LEN, Header, Name, NameBuffer, Opcode, Record, Records, Section, Type, flag, option,
    read_u16,
};

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
    /// Reads a query, or a NOTIFY (RFC 1996).
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
        let (mut edns, mut is_signed) = (None, false);
        // Octets behind the last record are nobody's business: no RFC forbids them, and most servers answer.
        for record in Records::at(message, question_end, &header) {
            let record = record?;
            if record.rtype == Type::OPT {
                // RFC 6891 §6.1.1, §6.1.2: one, of the root, in the additional section.
                if edns.is_some() || message[record.owner_at] != 0 || record.section != Section::Additional {
                    return Err(FormError::Opt);
                }
                edns = Some(Edns::read(&record)?);
            } else if !may_carry(header, question, &record) {
                return Err(FormError::Records);
            } else {
                NameBuffer::default().read(message, record.owner_at)?;
            }
            // RFC 8945 §5.1: TSIG comes last.
            if is_signed {
                return Err(FormError::Records);
            }
            is_signed = record.rtype == Type::TSIG;
        }
        let query = Query { header, question, edns, question_end };
        if question.is_none() && !query.is_about_a_cookie() { Err(FormError::Questions) } else { Ok(query) }
    }

    /// RFC 7873 §5.4: only such a query may come without a question.
    fn is_about_a_cookie(&self) -> bool {
        let has_cookie = |edns: Edns<'_>| edns.options.get(option::COOKIE).is_some();
        self.header.opcode() == Opcode::QUERY && self.edns.is_some_and(has_cookie)
    }

    /// The most octets of an answer over UDP: what the client takes, and at most `largest`, but always 512 (RFC 6891
    /// §6.2.5, RFC 1035 §4.2.1).
    #[inline]
    pub fn udp_limit(&self, largest: u16) -> u16 {
        self.edns.map_or(512, |edns| edns.udp_size).min(largest).max(512)
    }

    /// Whether DNSSEC records are wanted (RFC 3225).
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

/// Whether `record`, which is not OPT, is one that a request comes with. Most servers refuse to read others, and none looks
/// at them.
fn may_carry(header: Header, question: Option<Question<'_>>, record: &Record<'_>) -> bool {
    match (record.section, record.rtype) {
        // RFC 1996 §3.7: what has changed, as a hint.
        _ if header.opcode() == Opcode::NOTIFY => true,
        // RFC 1995 §3: which version the client has.
        (Section::Authority, Type::SOA) => question.is_some_and(|question| question.qtype == Type::IXFR),
        // RFC 8945 §5.1, RFC 2931 §3.1. Signatures are not looked at.
        (Section::Additional, Type::TSIG | Type::SIG) => true,
        _ => false,
    }
}
