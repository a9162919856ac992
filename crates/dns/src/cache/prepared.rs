//! Images: how they are made.

use std::fmt;

use afpa_cache::Object;
use afpa_engine::Time;

use super::policy::seconds;
use super::rewrite::{Rewrite, lower_question};
use super::survey::Survey;
use super::{Details, Kind, Policy};
use crate::message::{ExtendedError, FormError, NameBuffer, Question, Rcode, Type, flag};

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
    /// The message is written anew, names and all, so that nothing of a hostile one's structure is left; the work is
    /// bounded by its octets, but 64 KiB of them are work for workers. All its records age alike: the least of their
    /// TTLs, of whatever section, is the life of the image, since it is served whole (RFC 2181 §5.2 has that for an
    /// RRset). Of a failure, nothing but the question is kept. AA, RA and AD stay as the backend has set them.
    ///
    /// # Errors
    /// None can be made.
    pub fn of(message: &[u8], policy: &Policy, now: Time) -> Result<Prepared, Uncacheable> {
        // First, so that names that point to the question have its letters, and not those that it was asked in.
        let mut message = message.to_vec();
        lower_question(&mut message)?;
        let survey = Survey::of(&message, policy)?;
        let mut rewrite = Rewrite::new(survey.flags(), &survey.question);
        let mut lifetime = seconds(policy.failure_ttl);
        if survey.kind != Kind::Failure {
            lifetime = copy_records(&message, &survey, &mut rewrite)?;
        }
        let mut details = Details {
            extended_error: survey.extended_error,
            subnet_scope: survey.subnet_scope,
            ..Details::bare(survey.kind)
        };
        details.set_life(if survey.may_be_kept { lifetime } else { 0 }, policy, now);
        Ok(rewrite.finish(details))
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
        let name = question.name.to_lowercase();
        let question = Question { name: name.as_name(), ..*question };
        let mut details = Details { extended_error, ..Details::bare(Kind::Failure) };
        details.set_life(seconds(policy.failure_ttl), policy, now);
        Ok(Rewrite::new(flag::QR | flag::RA | rcode.0, &question).finish(details))
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

/// Copies all records but OPT; the least TTL, 0 if there is none.
fn copy_records(message: &[u8], survey: &Survey<'_>, rewrite: &mut Rewrite) -> Result<u32, Uncacheable> {
    let (mut owner, mut lifetime) = (NameBuffer::default(), None);
    for record in survey.records.clone() {
        let record = record?;
        if record.rtype == Type::OPT {
            continue;
        }
        owner.read(message, record.owner_at)?;
        let ttl = survey.ttl(&record)?;
        lifetime = Some(lifetime.unwrap_or(ttl).min(ttl));
        // Some backends write the question's name again, in the letters that it was asked in.
        let owner = owner.as_name();
        let owner = if owner == survey.question.name { survey.question.name } else { owner };
        rewrite.record(message, &record, owner, ttl)?;
    }
    Ok(lifetime.unwrap_or(0))
}

impl From<FormError> for Uncacheable {
    fn from(error: FormError) -> Uncacheable {
        Uncacheable::Malformed(error)
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
