//! What a backend's answer says, before it is rewritten.

use super::policy::seconds;
use super::{Kind, Policy, Uncacheable};
use crate::message::{
    Edns, ExtendedError, FormError, HEADER_LEN, Header, Opcode, Question, Rcode, Record, Records, Section, Type, flag,
    option, read_u16, read_u32,
};

/// An answer, read once.
pub(super) struct Survey<'a> {
    pub(super) header: Header,
    pub(super) question: Question<'a>,
    pub(super) records: Records<'a>,
    pub(super) kind: Kind,
    pub(super) extended_error: Option<ExtendedError>,
    pub(super) subnet_scope: Option<u8>,
    /// Whether it may be kept, as far as TTLs have no say in it.
    pub(super) may_be_kept: bool,
    /// The least and the most that a TTL may be.
    bounds: (u32, u32),
}

/// What the records come to.
#[derive(Default)]
struct Found<'a> {
    /// A record of the type that was asked for.
    answer: bool,
    /// A SOA record, or NS records, in the authority section.
    soa: bool,
    ns: bool,
    opt: Option<Edns<'a>>,
}

impl<'a> Survey<'a> {
    /// Reads `message`.
    pub(super) fn of(message: &'a [u8], policy: &Policy) -> Result<Survey<'a>, Uncacheable> {
        let header = Header::read(message).ok_or(FormError::Short)?;
        if !header.has(flag::QR) || header.opcode() != Opcode::QUERY {
            return Err(Uncacheable::NoAnswer);
        }
        if header.counts[0] != 1 {
            return Err(FormError::Questions.into());
        }
        let (question, len) = Question::read(&message[HEADER_LEN..])?;
        if question.qtype != Type::ANY && question.qtype.is_meta() {
            return Err(Uncacheable::Meta(question.qtype));
        }
        let records = Records::at(message, HEADER_LEN + len, &header);
        let found = Found::read(message, records.clone(), &question)?;
        // An extended code is between us and the backend: it has no place in a message without OPT (RFC 6891 §6.1.3).
        if let Some(edns) = found.opt.filter(|edns| edns.extended_rcode > 0) {
            return Err(Uncacheable::Rcode(edns.rcode(header)));
        }
        let kind = found.kind(&header);
        let is_negative = matches!(kind, Kind::NoData | Kind::NxDomain);
        // A referral has nothing for a client either, and may be the backend's mistake.
        let has_nothing = is_negative || kind == Kind::Referral;
        let most = seconds(if has_nothing { policy.max_negative_ttl } else { policy.max_ttl });
        Ok(Survey {
            // RFC 2181 §9: what is truncated is not kept. RFC 2308 §5: what is negative and has no SOA record neither.
            may_be_kept: kind == Kind::Failure || !header.has(flag::TC) && (!is_negative || found.soa),
            extended_error: found
                .option(option::EXTENDED_ERROR)
                .and_then(|data| Some(ExtendedError(read_u16(data, 0).ok()?))),
            subnet_scope: found.option(option::CLIENT_SUBNET).and_then(|data| data.get(3).copied()),
            bounds: (seconds(policy.min_ttl), most),
            header,
            question,
            records,
            kind,
        })
    }

    /// The flags of the image, its code among them. RD and CD come from each client.
    pub(super) fn flags(&self) -> u16 {
        let of_answer = if self.kind == Kind::Failure { 0 } else { flag::AA | flag::TC | flag::AD };
        self.header.flags & (of_answer | flag::QR | flag::RA | 0xf)
    }

    /// The TTL that `record` is kept with.
    pub(super) fn ttl(&self, record: &Record<'_>) -> Result<u32, FormError> {
        let mut ttl = record.lifetime();
        let is_negative = matches!(self.kind, Kind::NoData | Kind::NxDomain);
        if is_negative && record.rtype == Type::SOA && record.section == Section::Authority {
            // RFC 2308 §5: the lesser of the SOA's TTL and its MINIMUM, which are the last four octets.
            let minimum_at = record.rdata.len().checked_sub(4).ok_or(FormError::Short)?;
            ttl = ttl.min(read_u32(record.rdata, minimum_at)?);
        }
        let (least, most) = self.bounds;
        Ok(ttl.max(least).min(most))
    }
}

impl<'a> Found<'a> {
    fn read(message: &[u8], mut records: Records<'a>, question: &Question<'_>) -> Result<Found<'a>, Uncacheable> {
        let mut found = Found::default();
        for record in records.by_ref() {
            let record = record?;
            match (record.section, record.rtype) {
                (section, Type::OPT) => {
                    let is_in_place = section == Section::Additional && message[record.owner_at] == 0;
                    if !is_in_place || found.opt.is_some() {
                        return Err(FormError::Opt.into());
                    }
                    found.opt = Some(Edns::read(&record)?);
                }
                // TSIG and SIG(0) are about a message that the image no longer is. SIG(0) covers the type 0 (RFC 2931 §3).
                (_, rtype) if rtype.is_meta() || rtype == Type::SIG && record.rdata.starts_with(&[0, 0]) => {
                    return Err(Uncacheable::Meta(rtype));
                }
                (Section::Answer, rtype) => {
                    found.answer |= rtype == question.qtype || question.qtype == Type::ANY;
                }
                (Section::Authority, Type::SOA) => found.soa = true,
                (Section::Authority, Type::NS) => found.ns = true,
                _ => {}
            }
        }
        if records.position() != message.len() { Err(FormError::Trailing.into()) } else { Ok(found) }
    }

    fn kind(&self, header: &Header) -> Kind {
        match header.rcode() {
            Rcode::NXDOMAIN => Kind::NxDomain,
            // RFC 6672 §2.2: YXDOMAIN comes with the DNAME record that it is about.
            Rcode::NOERROR | Rcode::YXDOMAIN if self.answer => Kind::Positive,
            // RFC 2308 §2.2: aliases may lead to nothing; then the SOA record says so.
            Rcode::NOERROR | Rcode::YXDOMAIN if self.soa => Kind::NoData,
            Rcode::NOERROR | Rcode::YXDOMAIN if header.counts[1] > 0 => Kind::Positive,
            Rcode::NOERROR if self.ns => Kind::Referral,
            Rcode::NOERROR => Kind::NoData,
            _ => Kind::Failure,
        }
    }

    fn option(&self, code: u16) -> Option<&'a [u8]> {
        self.opt?.options.get(code)
    }
}
