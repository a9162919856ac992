//! A request on its way to a backend.

use super::PSEUDONYM;
use super::edit::{Edits, FieldEdit};
use super::hop_by_hop::{HopByHop, is_name, same_name};
use super::provenance::{ClientEnd, Provenance};
use super::untrusted;
use crate::syntax::error::RequestError;
use crate::syntax::field_section::{FieldSection, tokens};
use crate::syntax::framing::Body;
use crate::syntax::octet::saturating_decimal;
use crate::syntax::response::{end, field, field_number, field_octets, value_and_end};

/// A request that is passed on. Everything borrows; [`ForwardedRequest::write`] allocates nothing but what its
/// output needs.
#[derive(Clone, Debug)]
pub struct ForwardedRequest<'a> {
    /// [`RequestHead::method_text`](crate::syntax::RequestHead::method_text), or what the cache asks with.
    pub method: &'a [u8],
    /// [`RequestHead::origin_form`](crate::syntax::RequestHead::origin_form), or what a rule made of it. What
    /// no target may have is percent-encoded.
    pub target: &'a [u8],
    /// Host, with its port: [`RequestHead::host`](crate::syntax::RequestHead::host), in which the target wins
    /// over the field (RFC 9112 §3.2.2), or a backend's own.
    pub host: &'a [u8],
    /// What the client sent: [`fields`](crate::syntax::fields) of its head.
    pub fields: FieldSection<'a>,
    /// Whether that was HTTP/1.0, for Via.
    pub http_1_0: bool,
    /// How the body is delimited as we send it. A body whose length is not known goes as chunks.
    pub body: Body,
    /// Whom it is from.
    pub client: ClientEnd<'a>,
    /// What the configuration says.
    pub policy: &'a RequestPolicy<'a>,
    /// Changes of this request, beside those of the policy: what the cache asks for.
    pub edits: &'a [FieldEdit<'a>],
    /// A protocol to switch to, of those that the client asked for and the configuration allows. `h2c` is never
    /// asked for: it would open a way past everything here.
    pub upgrade: Option<&'a [u8]>,
    /// Whether Expect: 100-continue goes along: the client waits, and nobody has told it to go on.
    pub expects_continue: bool,
    /// Whether the backend is told that nothing follows on this connection.
    pub close: bool,
}

/// What is the same for many requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestPolicy<'a> {
    /// How we are called in Via; a token, or a host with its port (RFC 9110 §7.6.3).
    pub pseudonym: &'a str,
    /// Which fields tell about the client. What an untrusted one says about itself is removed whatever stands
    /// here: X-Forwarded-*, Forwarded, X-Real-IP, Client-IP and the like.
    pub provenance: Provenance,
    /// Changes that are configured.
    pub edits: &'a [FieldEdit<'a>],
    /// Whether names with other marks than `-` go through, such as `X_Name`. Some backends do not tell them
    /// from `X-Name`, so a client could write what only we may. Names that would be taken for one of ours
    /// never go through.
    pub keeps_unusual_names: bool,
    /// Whether X-Original-URL, X-Rewrite-URL and the like go through from an untrusted client. What a shared
    /// cache stores under one target must not be another's, and rules about targets must hold.
    pub keeps_target_overrides: bool,
    /// Whether X-HTTP-Method-Override and the like go through from an untrusted client with any method.
    /// Without it, they do with POST alone: no answer to a GET is another method's.
    pub keeps_method_overrides: bool,
    /// Whether TE: trailers goes along, from clients that sent it. The caller can then pass trailers on.
    pub accepts_trailers: bool,
}

impl Default for RequestPolicy<'_> {
    fn default() -> Self {
        RequestPolicy {
            pseudonym: PSEUDONYM,
            provenance: Provenance::default(),
            edits: &[],
            keeps_unusual_names: false,
            keeps_target_overrides: false,
            keeps_method_overrides: false,
            accepts_trailers: true,
        }
    }
}

impl ForwardedRequest<'_> {
    /// Appends the head, with the empty line that ends it.
    ///
    /// # Errors
    /// [`RequestError::TooManyConnectionOptions`], before anything is appended.
    ///
    /// # Panics
    /// If the method is no token.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), RequestError> {
        let hop_by_hop = HopByHop::of(self.fields.clone())?;
        self.request_line(out);
        field(out, "Host", self.host);
        for (name, value) in self.fields.clone() {
            if !hop_by_hop.has(name) {
                self.field(out, name, value);
            }
        }
        self.edits().write(out);
        // The operator's word about where the request came from counts more than ours.
        let is_ours = |name: &str| !self.edits().replace(name.as_bytes());
        self.policy.provenance.write(out, &self.client, self.fields.clone(), is_ours);
        via(out, self.http_1_0, self.policy.pseudonym);
        if self.expects_continue && !self.http_1_0 {
            field(out, "Expect", "100-continue");
        }
        framing(out, self.body);
        self.connection(out);
        end(out);
        Ok(())
    }

    /// RFC 9112 §3. Nothing that is in it can end it.
    fn request_line(&self, out: &mut Vec<u8>) {
        assert!(is_name(self.method), "a method is a token");
        out.extend_from_slice(self.method);
        out.push(b' ');
        if self.target.is_empty() {
            out.push(b'/');
        }
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        for &octet in self.target {
            match octet {
                b'!'..=b'~' if octet != b'#' => out.push(octet),
                _ => out.extend([b'%', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]),
            }
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
    }

    /// Appends an end-to-end field that was received, if it goes through.
    fn field(&self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        let is = |known: &str| same_name(name, known.as_bytes());
        // RFC 9110 §6.6.2: without chunks there is nothing that it announces.
        let is_ours = is("host") || is("expect") || is("trailer") && self.body != Body::Chunked;
        if is_ours || self.is_refused(name) || self.edits().replace(name) {
            return;
        }
        // RFC 9110 §7.6.2: for other methods it means nothing, and goes on as it is.
        if is("max-forwards") && matches!(self.method, b"TRACE" | b"OPTIONS") {
            if let Some(hops) = saturating_decimal(value) {
                field_number(out, "Max-Forwards", hops.saturating_sub(1));
            }
            return;
        }
        field_octets(out, name, value);
    }

    /// Whether the field `name` is one that the peer may not send.
    fn is_refused(&self, name: &[u8]) -> bool {
        let policy = self.policy;
        let is_usual = name.iter().all(|&octet| octet.is_ascii_alphanumeric() || octet == b'-');
        if !is_usual && (!policy.keeps_unusual_names || untrusted::is_provenance(name)) || untrusted::is_poison(name) {
            return true;
        }
        if self.client.is_trusted {
            return policy.provenance.rewrites(name);
        }
        let keeps_method_overrides = policy.keeps_method_overrides || self.method == b"POST";
        untrusted::is_provenance(name)
            || untrusted::is_target_override(name) && !policy.keeps_target_overrides
            || untrusted::is_method_override(name) && !keeps_method_overrides
    }

    fn edits(&self) -> Edits<'_> {
        Edits(self.policy.edits, self.edits)
    }

    /// What is between us and the backend alone. What it is that an option stands for, the option names
    /// (RFC 9110 §7.6.1, §10.1.4, §7.8).
    fn connection(&self, out: &mut Vec<u8>) {
        let trailers = self.policy.accepts_trailers && accepts_trailers(self.fields.clone());
        let upgrade = self.upgrade.filter(|protocol| !protocol.is_empty() && !protocol.eq_ignore_ascii_case(b"h2c"));
        let options = [("close", self.close), ("TE", trailers), ("upgrade", upgrade.is_some() && !self.close)];
        connection(out, options);
        if trailers {
            field(out, "TE", "trailers");
        }
        if let Some(protocol) = upgrade.filter(|_| !self.close) {
            field(out, "Upgrade", protocol);
        }
    }
}

/// Whether a client takes trailer fields, by its TE (RFC 9110 §10.1.4). Passed on to others, they are likely lost.
pub fn accepts_trailers(fields: FieldSection<'_>) -> bool {
    fields.values("te").flat_map(tokens).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// Max-Forwards of a request with TRACE or OPTIONS. At zero it is answered here, and not passed on (RFC 9110
/// §7.6.2).
pub fn max_forwards(fields: FieldSection<'_>) -> Option<u64> {
    fields.first("max-forwards").and_then(saturating_decimal)
}

/// How often Via says that a message came through `pseudonym`: more than a few times is a loop (RFC 9110
/// §7.6.3).
pub fn passed_through(fields: FieldSection<'_>, pseudonym: &str) -> usize {
    let elements = fields.values("via").flat_map(tokens);
    let by = |element: &[u8]| {
        let mut words = element.split(|&octet| matches!(octet, b' ' | b'\t')).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(pseudonym.as_bytes()))
    };
    elements.filter(|element| by(element)).count()
}

/// Appends our element of Via, in a line of its own behind all others (RFC 9110 §7.6.3).
pub(super) fn via(out: &mut Vec<u8>, http_1_0: bool, pseudonym: &str) {
    out.extend_from_slice(if http_1_0 { b"Via: 1.0 " } else { b"Via: 1.1 " });
    value_and_end(out, pseudonym.as_bytes());
}

/// Appends the one field that frames a body.
pub(super) fn framing(out: &mut Vec<u8>, body: Body) {
    match body {
        Body::None => {}
        Body::Length(length) => field_number(out, "Content-Length", length),
        Body::Chunked => field(out, "Transfer-Encoding", "chunked"),
    }
}

/// Appends Connection with those of `options` that are meant.
pub(super) fn connection<const N: usize>(out: &mut Vec<u8>, options: [(&str, bool); N]) {
    let mut separator = &b"Connection: "[..];
    for (option, _) in options.iter().filter(|(_, meant)| *meant) {
        out.extend_from_slice(separator);
        out.extend_from_slice(option.as_bytes());
        separator = b", ";
    }
    if options.iter().any(|(_, meant)| *meant) {
        out.extend_from_slice(b"\r\n");
    }
}
