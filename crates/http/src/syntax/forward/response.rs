//! A response on its way to a client, or into a cache object.

use super::edit::{Edits, FieldEdit};
use super::hop_by_hop::HopByHop;
use super::request::{connection, framing, via};
use crate::syntax::date;
use crate::syntax::field_section::FieldSection;
use crate::syntax::framing::Body;
use crate::syntax::octet::has_control;
use crate::syntax::response::{decimal, end, field, field_octets, reason};
use crate::syntax::response_error::ResponseError;

/// A response that is passed on, in two parts: [`ForwardedResponse::write_mutable`] is what each response has of
/// its own, [`ForwardedResponse::write_immutable`] is what a cache object keeps (RFC 9111 §3.1) and ends the head.
/// Between the two the caller may put fields of its own, such as Age or Cache-Status.
#[derive(Clone, Debug)]
pub struct ForwardedResponse<'a> {
    /// The status, in 100 to 599.
    pub status: u16,
    /// The reason that the backend gave; our own words if it is empty.
    pub reason: &'a [u8],
    /// What the backend sent: [`ResponseHead::fields`](crate::syntax::ResponseHead::fields).
    pub fields: FieldSection<'a>,
    /// Whether that was HTTP/1.0, for Via.
    pub http_1_0: bool,
    /// The field that frames the body as we send it. For an answer to HEAD it is what a GET would have; a 304
    /// has [`Body::None`], and so has a body that ends with the connection. A 1xx or 204 has none in any case.
    pub body: Body,
    /// When the response came, in seconds since 1970: Date, if the backend sent none that is one (RFC 9110
    /// §6.6.1).
    pub received: u64,
    /// How we are called in Via.
    pub pseudonym: &'a str,
    /// Changes that are configured.
    pub edits: &'a [FieldEdit<'a>],
    /// Names of fields that are left out, beside those that always are: what `no-cache` or `private` names,
    /// Set-Cookie, or what a 304 must not change.
    pub leave_out: &'a [&'a [u8]],
    /// The protocol of a 101.
    pub upgrade: Option<&'a [u8]>,
    /// Whether the client is told that nothing follows on this connection.
    pub close: bool,
    /// Whether the client is told that something may: it spoke HTTP/1.0 and asked.
    pub keep_alive: bool,
}

impl ForwardedResponse<'_> {
    /// Appends the whole head.
    ///
    /// # Errors
    /// [`ResponseError::TooManyConnectionOptions`], before anything is appended.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), ResponseError> {
        let hop_by_hop = HopByHop::of(self.fields.clone())?;
        self.mutable(out, &hop_by_hop);
        self.immutable(out, &hop_by_hop);
        Ok(())
    }

    /// Appends the status line, Age as it was received, and what is about the client's connection.
    ///
    /// # Errors
    /// As [`ForwardedResponse::write`].
    pub fn write_mutable(&self, out: &mut Vec<u8>) -> Result<(), ResponseError> {
        self.mutable(out, &HopByHop::of(self.fields.clone())?);
        Ok(())
    }

    /// Appends end-to-end fields but Age, the one that frames the body, and the empty line. Nothing in it
    /// depends on who asked or when, once `fields` are given.
    ///
    /// # Errors
    /// As [`ForwardedResponse::write`].
    pub fn write_immutable(&self, out: &mut Vec<u8>) -> Result<(), ResponseError> {
        self.immutable(out, &HopByHop::of(self.fields.clone())?);
        Ok(())
    }

    fn mutable(&self, out: &mut Vec<u8>, hop_by_hop: &HopByHop) {
        write_status_line(out, self.status, self.reason);
        let age = self.fields.clone().first("age").filter(|_| self.goes_through(hop_by_hop, b"age"));
        if let Some(age) = age {
            field_octets(out, b"Age", age);
        }
        let upgrade = self.upgrade.filter(|_| self.status == 101);
        let (close, keep_alive) = (self.close && upgrade.is_none(), self.keep_alive && !self.close);
        connection(out, [("upgrade", upgrade.is_some()), ("close", close), ("keep-alive", keep_alive)]);
        if let Some(protocol) = upgrade {
            field(out, "Upgrade", protocol);
        }
    }

    fn immutable(&self, out: &mut Vec<u8>, hop_by_hop: &HopByHop) {
        let mut has_date = false;
        for (name, value) in self.fields.clone() {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if is("age") || is("trailer") && self.body != Body::Chunked || !self.goes_through(hop_by_hop, name) {
                continue;
            }
            if is("date") {
                // RFC 9110 §6.6.1: there is one.
                if has_date || date::parse(value).is_none() {
                    continue;
                }
                has_date = true;
            }
            field_octets(out, name, value);
        }
        let is_final = self.status >= 200;
        if !has_date && is_final && self.goes_through(hop_by_hop, b"date") {
            field(out, "Date", date::imf_fixdate(self.received));
        }
        Edits(self.edits, &[]).write(out);
        via(out, self.http_1_0, self.pseudonym);
        if is_final && self.status != 204 {
            framing(out, self.body);
        }
        end(out);
    }

    fn goes_through(&self, hop_by_hop: &HopByHop, name: &[u8]) -> bool {
        let left_out = || self.leave_out.iter().any(|other| name.eq_ignore_ascii_case(other));
        !hop_by_hop.has(name) && !Edits(self.edits, &[]).replace(name) && !left_out()
    }
}

/// Appends the status line with a reason that was received; our own if it is empty, or not one.
pub fn write_status_line(out: &mut Vec<u8>, status: u16, received: &[u8]) {
    let ours = received.is_empty() || has_control(received);
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status.clamp(100, 599)));
    out.push(b' ');
    out.extend_from_slice(if ours { reason(status).as_bytes() } else { received });
    out.extend_from_slice(b"\r\n");
}
