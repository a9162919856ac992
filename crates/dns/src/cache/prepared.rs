//! Images: how they are made.

use std::collections::HashSet;
use std::fmt;

use afpa_cache::Object;
use afpa_engine::Time;

use super::survey::Survey;
use super::{Details, Kind, Policy, rdata};
use crate::message::{
    Class, ExtendedError, FormError, Full, HEADER_LEN, Header, NameBuffer, Question, Rcode, Records, Section, Type,
    Writer, flag,
};

/// The most octets of a message.
const MAX_MESSAGE: usize = u16::MAX as usize;

/// An image that may be kept, and can be served to those who wait for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// The image, the places of its TTLs, its cuts.
    pub(super) octets: Vec<u8>,
    pub(super) details: Details,
}

/// An image where it lies: a message with ID 0, its question in lower case, without OPT; behind it, as pairs of octets,
/// the place of each TTL, and for each place where its additional section may be cut off the octets and additional
/// records before it.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    pub(super) octets: &'a [u8],
    pub(super) details: &'a Details,
}

/// Why no image can be made of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Uncacheable {
    /// It is not well formed: the backend's fault.
    Malformed(FormError),
    /// It does not answer a query.
    NoAnswer,
    /// It asks for or has something that no data has: a transfer, a signature of the message.
    Meta(Type),
    /// A code that is between us and the backend.
    Rcode(Rcode),
    /// It is longer than a message can be, once its names are compressed as ours are.
    TooLong,
}

impl Prepared {
    /// Makes an image of what a backend has sent, which came at `now` and was matched to its question.
    ///
    /// The message is written anew, names and all, so that nothing of a hostile one's structure is left. All its
    /// records age alike: the least of their TTLs, of whatever section, is the life of the image (RFC 2181 §5.2 for
    /// an RRset), since it is served whole. Of a failure, nothing but the question is kept. AA, RA and AD stay as the
    /// backend has set them.
    ///
    /// # Errors
    /// None can be made.
    pub fn of(message: &[u8], policy: &Policy, now: Time) -> Result<Prepared, Uncacheable> {
        // First, so that names that point to the question have its letters, and not those that it was asked in.
        let mut message = message.to_vec();
        lower_question(&mut message)?;
        let survey = Survey::of(&message, policy)?;
        let mut octets = Vec::with_capacity(message.len() + 64);
        let mut writer = Writer::new(&mut octets, Header { flags: survey.flags(), ..Header::default() }, MAX_MESSAGE);
        let Question { name, qtype, qclass } = survey.question;
        writer.question(name, qtype, qclass)?;
        let mut lifetime = super::policy::seconds(policy.failure_ttl);
        if survey.kind != Kind::Failure {
            lifetime = copy_records(&message, &survey, &mut writer)?;
        }
        writer.finish();
        let details = Details {
            extended_error: survey.extended_error,
            subnet_scope: survey.subnet_scope,
            ..Details::bare(survey.kind)
        };
        let mut prepared = Prepared { octets, details };
        prepared.details.set_life(if survey.may_be_kept { lifetime } else { 0 }, policy, now);
        prepared.note_places()?;
        Ok(prepared)
    }

    /// Makes the image of an answer that says nothing but `rcode`, and why to those who understand it (RFC 8914).
    ///
    /// # Errors
    /// The code needs an OPT record.
    pub fn failure(
        question: &Question<'_>,
        rcode: Rcode,
        extended_error: Option<ExtendedError>,
        policy: &Policy,
        now: Time,
    ) -> Result<Prepared, Uncacheable> {
        if rcode.0 > 0xf {
            return Err(Uncacheable::Rcode(rcode));
        }
        let header = Header { flags: flag::QR | flag::RA | rcode.0, ..Header::default() };
        let mut octets = Vec::new();
        let mut writer = Writer::new(&mut octets, header, MAX_MESSAGE);
        writer.question(question.name.to_lowercase().as_name(), question.qtype, question.qclass)?;
        writer.finish();
        let mut details = Details { extended_error, ..Details::bare(Kind::Failure) };
        details.set_life(super::policy::seconds(policy.failure_ttl), policy, now);
        let mut prepared = Prepared { octets, details };
        prepared.note_places()?;
        Ok(prepared)
    }

    /// The image, to serve it.
    pub fn image(&self) -> Image<'_> {
        Image { octets: &self.octets, details: &self.details }
    }

    /// What is remembered of it.
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// Whether it may be kept. If not, it is for those alone who wait for it.
    pub fn may_be_kept(&self) -> bool {
        self.details.lifetime > 0
    }

    /// Appends the places of TTLs and the cuts to the message that `octets` are.
    fn note_places(&mut self) -> Result<(), FormError> {
        let (mut ttls, mut cuts) = (Vec::new(), Cuts::default());
        let (mut name, mut records) = (NameBuffer::default(), Records::of(&self.octets)?);
        let question_end = records.position();
        let mut additional_at = question_end;
        while let Some(record) = records.next() {
            let record = record?;
            ttls.push(record.ttl_at as u16);
            if record.section == Section::Additional {
                name.read(&self.octets, record.owner_at)?;
                // RFC 4034 §3: signatures over different types are different RRsets.
                let covered = if record.rtype == Type::RRSIG { record.rdata.get(..2) } else { None };
                let set = [name.as_name().to_lowercase().as_name().as_wire(), covered.unwrap_or_default()].concat();
                cuts.note((set, record.rtype, record.class), record.owner_at);
            } else {
                additional_at = records.position();
            }
        }
        let details = &mut self.details;
        details.image_len = self.octets.len() as u16;
        (details.question_end, details.additional_at) = (question_end as u16, additional_at as u16);
        details.ttls = ttls.len() as u16;
        let cuts = cuts.places.iter().flat_map(|&(at, count)| [at, count]);
        self.octets.extend(ttls.into_iter().chain(cuts).flat_map(u16::to_be_bytes));
        Ok(())
    }
}

impl<'a> Image<'a> {
    /// The image that `object` is.
    #[inline]
    pub fn of(object: &'a Object<Details>) -> Image<'a> {
        let octets = object.body().fragments().first().map_or(&[][..], |fragment| fragment);
        Image { octets, details: object.details() }
    }

    /// What is remembered of it.
    pub fn details(&self) -> &'a Details {
        self.details
    }
}

/// Where an additional section may be cut off: RFC 2181 §9 has an RRset whole or not at all.
#[derive(Default)]
struct Cuts {
    last: Option<RecordSet>,
    seen: HashSet<RecordSet>,
    /// Octets and additional records before each.
    places: Vec<(u16, u16)>,
    records: u16,
    /// An RRset in several places: then it is all or nothing.
    is_scattered: bool,
}

/// Owner and type covered, type, class.
type RecordSet = (Vec<u8>, Type, Class);

impl Cuts {
    /// Takes in the next record, which starts at `at`.
    fn note(&mut self, set: RecordSet, at: usize) {
        if self.last.as_ref() != Some(&set) {
            self.is_scattered |= !self.seen.insert(set.clone());
            if self.last.is_some() {
                self.places.push((at as u16, self.records));
            }
            self.last = Some(set);
        }
        if self.is_scattered {
            self.places.clear();
        }
        self.records += 1;
    }
}

/// Puts the letters of the question's name into lower case.
fn lower_question(message: &mut [u8]) -> Result<(), FormError> {
    let behind = message.get_mut(HEADER_LEN..).ok_or(FormError::Short)?;
    let len = Question::read(behind)?.1 - 4;
    behind[..len].make_ascii_lowercase();
    Ok(())
}

/// Writes all records but OPT; the least TTL, 0 if there is none.
fn copy_records(message: &[u8], survey: &Survey<'_>, writer: &mut Writer<'_>) -> Result<u32, Uncacheable> {
    let (mut name, mut inner, mut data) = (NameBuffer::default(), NameBuffer::default(), Vec::new());
    let mut lifetime = None;
    for record in survey.records.clone() {
        let record = record?;
        if record.rtype == Type::OPT {
            continue;
        }
        name.read(message, record.owner_at)?;
        rdata::expand(message, &record, &mut inner, &mut data)?;
        let ttl = survey.ttl(&record)?;
        lifetime = Some(lifetime.unwrap_or(ttl).min(ttl));
        // Some backends write the question's name again, in the letters that it was asked in.
        let owner = name.as_name();
        let owner = if owner == survey.question.name { survey.question.name } else { owner };
        writer.record(record.section, owner, record.rtype, record.class, ttl, &data)?;
    }
    Ok(lifetime.unwrap_or(0))
}

impl From<FormError> for Uncacheable {
    fn from(error: FormError) -> Uncacheable {
        Uncacheable::Malformed(error)
    }
}

impl From<Full> for Uncacheable {
    fn from(_: Full) -> Uncacheable {
        Uncacheable::TooLong
    }
}

impl fmt::Display for Uncacheable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uncacheable::Malformed(error) => write!(f, "malformed: {error}"),
            Uncacheable::NoAnswer => f.write_str("no answer to a query"),
            Uncacheable::Meta(rtype) => write!(f, "{rtype} is no type of data"),
            Uncacheable::Rcode(rcode) => write!(f, "the code {rcode} is not for clients"),
            Uncacheable::TooLong => f.write_str("longer than a message can be"),
        }
    }
}

impl std::error::Error for Uncacheable {}
