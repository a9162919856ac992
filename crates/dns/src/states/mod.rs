//! The state functions, a file each.

pub(crate) mod admit_request;
pub(crate) mod choose_responder;
pub(crate) mod complete_request;
pub(crate) mod derive_cached_response;
pub(crate) mod derive_error_response;
pub(crate) mod derive_miss_response;
pub(crate) mod derive_remote_response;
pub(crate) mod derive_request;
pub(crate) mod derive_zone_response;
pub(crate) mod send_response;
pub(crate) mod transfer_zone;

use afpa_engine::Context;

use crate::message::{ExtendedError, Query, Question, Rcode, Writer};
use crate::module::{Carrier, Connection, Dns, Request};
use crate::protect::ReplyOptions;

/// The octets of the query, where they arrived or where they were kept.
pub(crate) fn octets<'a>(cx: &mut Context<'a, Dns>) -> &'a [u8] {
    cx.input.unread().get(cx.request.start..cx.request.end).unwrap_or_default()
}

impl Request {
    /// The query in `input`, or as it was kept. `None` only if it never was one.
    pub(crate) fn query<'a>(&'a self, input: &'a [u8]) -> Option<Query<'a>> {
        let octets = if self.kept.is_empty() { input.get(self.start..self.end)? } else { &self.kept };
        Query::read(octets).ok()
    }

    pub(crate) fn refuse(&mut self, rcode: Rcode, error: Option<ExtendedError>) {
        (self.rcode, self.error) = (rcode, error);
    }
}

/// What a response may have, and what it says beside records.
pub(crate) struct Envelope {
    /// The most octets.
    pub(crate) limit: usize,
    /// Octets of the OPT record; zero without one.
    pub(crate) opt: usize,
}

impl Envelope {
    /// Writes the options of the answer to `query` into `options`.
    pub(crate) fn of(
        query: &Query<'_>,
        connection: &Connection,
        subnet_scope: Option<u8>,
        request: &Request,
        settings: &crate::module::Settings,
        options: &mut Vec<u8>,
    ) -> Envelope {
        let is_stream = connection.carrier == Carrier::Stream;
        let limit = if is_stream { u16::MAX } else { query.udp_limit(settings.udp_size) }.into();
        let Some(edns) = query.edns else {
            options.clear();
            return Envelope { limit, opt: 0 };
        };
        let said = ReplyOptions {
            cookie: request.cookie,
            nsid: settings.nsid.as_deref(),
            subnet_scope,
            idle_timeout: is_stream.then_some(settings.limits.idle_timeout),
            extended_error: request.error.map(|error| (error, "")),
        };
        Envelope { limit, opt: said.write(edns.options, options) }
    }
}

/// Writes a response without records: its question, and its OPT record with `options` if it has one, and ends it.
///
/// Both fit the 512 octets that a response always has, an NSID of any length aside, which then stays away.
pub(crate) fn write_bare(
    mut writer: Writer<'_>,
    question: Option<Question<'_>>,
    opt: Option<&[u8]>,
    udp_size: u16,
    rcode: Rcode,
    dnssec_ok: bool,
) {
    if let Some(question) = question {
        let _ = writer.question(question.name, question.qtype, question.qclass);
    }
    if let Some(options) = opt
        && writer.opt(udp_size, rcode, dnssec_ok, options).is_err()
    {
        let _ = writer.opt(udp_size, rcode, dnssec_ok, &[]);
    }
    writer.finish();
}
