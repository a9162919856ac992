//! Whether a message answers a question that we sent (RFC 5452 §9.1), and what it says about it.

use super::client_subnet::ClientSubnet;
use super::well_formed;
use crate::message::{Edns, FormError, HEADER_LEN, Header, Opcode, Question, Rcode, flag, option};
use crate::protect::CLIENT_COOKIE_LEN;

/// Messages that do not match, in one conversation, until it is taken for an attack and the question goes over TCP.
pub const FLOOD: u32 = 100;

/// What an answer to one question must have.
#[derive(Clone, Debug)]
pub struct Expected {
    pub(crate) id: u16,
    /// The question as it was sent.
    pub(crate) question: Box<[u8]>,
    pub(crate) mixed_case: bool,
    pub(crate) tcp: bool,
    pub(crate) edns: Option<ExpectedEdns>,
    /// Messages so far that did not match.
    pub(crate) mismatches: u32,
}

/// What was sent in the OPT record that the answer must fit.
#[derive(Clone, Debug)]
pub(crate) struct ExpectedEdns {
    pub(crate) cookie: [u8; CLIENT_COOKIE_LEN],
    /// The server has given us a cookie before: it knows them.
    pub(crate) has_server_cookie: bool,
    pub(crate) subnet: Option<ClientSubnet>,
}

/// A message that matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Matched<'a> {
    /// What follows from it.
    pub verdict: Verdict,
    /// Its response code, all twelve bits.
    pub rcode: Rcode,
    /// The server's cookie, 8 to 32 octets.
    pub server_cookie: Option<&'a [u8]>,
    /// Whether it has an OPT record.
    pub has_edns: bool,
    /// SCOPE PREFIX-LENGTH, if it echoes the client's subnet (RFC 7871 §7.3.1).
    pub scope: Option<u8>,
}

/// What follows from an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It answers the question, if only with "there is none".
    Answer,
    /// It did not fit a datagram: the question goes over TCP.
    Truncated,
    /// The backend does not understand EDNS: the question goes without (RFC 6891 §6.2.2).
    WithoutEdns,
    /// Our copy of its cookie was wrong: the question goes again with the new one (RFC 7873 §5.3).
    BadCookie,
    /// The backend cannot or does not want to answer: another is asked.
    Failed(Rcode),
}

/// Why a message is not the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// It is a query.
    NotAResponse,
    /// Another ID.
    Id,
    /// Another opcode.
    Opcode,
    /// Another question, or not one.
    Question,
    /// The question in another letter case, and everything else as it should be.
    LetterCase,
    /// Not our cookie.
    Cookie,
    /// No cookie, from a server that knows them.
    CookieMissing,
    /// Another client subnet (RFC 7871 §7.3).
    Subnet,
    /// It cannot be read to its end.
    Malformed(FormError),
}

/// What to do with a message that arrived for a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received<'a> {
    /// It is the answer.
    Matched(Matched<'a>),
    /// It is not; wait on.
    Discarded(Mismatch),
    /// It is not, and datagrams cannot be trusted or understood here: ask over TCP.
    AskOverTcp(Mismatch),
}

impl Expected {
    /// The question's ID: what tells the answers of one TCP connection apart.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Whether the question went over TCP.
    pub fn is_over_tcp(&self) -> bool {
        self.tcp
    }

    /// Whether its letter case was drawn.
    pub fn has_mixed_case(&self) -> bool {
        self.mixed_case
    }

    /// Looks at a message that arrived for the question, and counts those that do not match.
    pub fn receive<'a>(&mut self, message: &'a [u8]) -> Received<'a> {
        match self.matches(message) {
            Ok(matched) => Received::Matched(matched),
            Err(mismatch) => {
                self.mismatches += 1;
                // Everything else was right: most likely it is the backend, which changes letters or lost its
                // cookies. TCP proves who speaks without either.
                let is_odd = matches!(mismatch, Mismatch::LetterCase | Mismatch::CookieMissing);
                match !self.tcp && (is_odd || self.mismatches >= FLOOD) {
                    true => Received::AskOverTcp(mismatch),
                    false => Received::Discarded(mismatch),
                }
            }
        }
    }

    /// Whether `message` is the answer.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn matches<'a>(&self, message: &'a [u8]) -> Result<Matched<'a>, Mismatch> {
        let header = Header::read(message).ok_or(Mismatch::Malformed(FormError::Short))?;
        if !header.has(flag::QR) {
            return Err(Mismatch::NotAResponse);
        }
        if header.id != self.id {
            return Err(Mismatch::Id);
        }
        if header.opcode() != Opcode::QUERY {
            return Err(Mismatch::Opcode);
        }
        if self.is_bare_error(message, &header) {
            return Ok(Matched::bare(Verdict::WithoutEdns, header.rcode()));
        }
        let case_is_kept = self.question_matches(message, &header)?;
        if header.has(flag::TC) && !self.tcp {
            // RFC 2181 §9: what there is of a truncated answer is not looked at.
            if !case_is_kept {
                return Err(Mismatch::LetterCase);
            }
            return Ok(Matched::bare(Verdict::Truncated, header.rcode()));
        }
        let records_at = HEADER_LEN + self.question.len();
        let edns = well_formed::check(message, records_at, &header).map_err(Mismatch::Malformed)?;
        let server_cookie = self.cookie_matches(edns.as_ref())?;
        let scope = self.subnet_matches(edns.as_ref())?;
        if !case_is_kept {
            return Err(Mismatch::LetterCase);
        }
        let rcode = edns.map_or(header.rcode(), |edns| edns.rcode(header));
        let verdict = self.verdict(&header, rcode, edns.is_some(), server_cookie.is_some());
        Ok(Matched { verdict, rcode, server_cookie, has_edns: edns.is_some(), scope })
    }

    /// Servers from before EDNS return the header alone when they find an OPT record. One that gave us a cookie is
    /// none of these, and would be easy to forge.
    fn is_bare_error(&self, message: &[u8], header: &Header) -> bool {
        message.len() == HEADER_LEN
            && header.counts == [0; 4]
            && matches!(header.rcode(), Rcode::FORMERR | Rcode::NOTIMP)
            && self.edns.as_ref().is_some_and(|edns| !edns.has_server_cookie)
    }

    /// Whether the question's letters are as they were sent; where no case was drawn, any will do.
    fn question_matches(&self, message: &[u8], header: &Header) -> Result<bool, Mismatch> {
        if header.counts[0] != 1 {
            return Err(Mismatch::Question);
        }
        let (_, len) = Question::read(&message[HEADER_LEN..]).map_err(Mismatch::Malformed)?;
        let (question, sent) = (&message[HEADER_LEN..HEADER_LEN + len], &*self.question);
        let (Some((name, fixed)), Some((sent_name, sent_fixed))) =
            (question.split_last_chunk::<4>(), sent.split_last_chunk::<4>())
        else {
            return Err(Mismatch::Question);
        };
        if !name.eq_ignore_ascii_case(sent_name) || fixed != sent_fixed {
            return Err(Mismatch::Question);
        }
        Ok(!self.mixed_case || name == sent_name)
    }

    /// RFC 7873 §5.3: a cookie must begin with ours. The server's half, if there is one.
    fn cookie_matches<'a>(&self, edns: Option<&Edns<'a>>) -> Result<Option<&'a [u8]>, Mismatch> {
        let Some(sent) = &self.edns else { return Ok(None) };
        match edns.and_then(|edns| edns.options.get(option::COOKIE)) {
            Some(cookies) => match cookies.split_at_checked(CLIENT_COOKIE_LEN) {
                Some((client, server)) if client == sent.cookie => Ok(Some(server).filter(|server| !server.is_empty())),
                _ => Err(Mismatch::Cookie),
            },
            // Over TCP the address is proven, and the backend may have stopped using cookies.
            None if sent.has_server_cookie && !self.tcp => Err(Mismatch::CookieMissing),
            None => Ok(None),
        }
    }

    fn subnet_matches(&self, edns: Option<&Edns<'_>>) -> Result<Option<u8>, Mismatch> {
        // RFC 7871 §7.3: what was not asked for is ignored.
        let Some(sent) = self.edns.as_ref().and_then(|edns| edns.subnet) else { return Ok(None) };
        let Some(data) = edns.and_then(|edns| edns.options.get(option::CLIENT_SUBNET)) else { return Ok(None) };
        match ClientSubnet::of_answer(data) {
            Ok(answered) if sent.is_echoed_by(&answered) => Ok(Some(answered.scope_prefix())),
            _ => Err(Mismatch::Subnet),
        }
    }

    fn verdict(&self, header: &Header, rcode: Rcode, has_edns: bool, has_server_cookie: bool) -> Verdict {
        match rcode {
            // Truncated where nothing is too long.
            _ if header.has(flag::TC) => Verdict::Failed(Rcode::SERVFAIL),
            Rcode::BADVERS if self.edns.is_some() => Verdict::WithoutEdns,
            // RFC 6891 §7: with an OPT record of its own it means the question.
            Rcode::FORMERR | Rcode::NOTIMP if self.edns.is_some() && !has_edns => Verdict::WithoutEdns,
            Rcode::BADCOOKIE if has_server_cookie => Verdict::BadCookie,
            Rcode::NOERROR | Rcode::NXDOMAIN | Rcode::YXDOMAIN => Verdict::Answer,
            rcode => Verdict::Failed(rcode),
        }
    }
}

impl Matched<'_> {
    fn bare(verdict: Verdict, rcode: Rcode) -> Matched<'static> {
        Matched { verdict, rcode, server_cookie: None, has_edns: false, scope: None }
    }
}

impl Verdict {
    /// Whether a check is passed by it: the backend is there and does not say that it cannot answer.
    pub fn passes_check(self) -> bool {
        !matches!(self, Verdict::Failed(_))
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mismatch::NotAResponse => "a query, not a response",
            Mismatch::Id => "another ID",
            Mismatch::Opcode => "another opcode",
            Mismatch::Question => "another question",
            Mismatch::LetterCase => "another letter case",
            Mismatch::Cookie => "another client cookie",
            Mismatch::CookieMissing => "no cookie from a server that knows them",
            Mismatch::Subnet => "another client subnet",
            Mismatch::Malformed(error) => return std::fmt::Display::fmt(error, f),
        })
    }
}

impl std::error::Error for Mismatch {}
