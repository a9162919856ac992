//! Entry point for fuzzing what is passed on.

use std::net::{IpAddr, Ipv4Addr};

use super::hop_by_hop::is_hop_by_hop;
use super::untrusted::is_provenance;
use super::{ClientEnd, ForwardedRequest, ForwardedResponse, PSEUDONYM, Provenance, RequestPolicy};
use crate::syntax::client_address::{AddressField, client_address};
use crate::syntax::field_section::{FieldSection, fields, tokens};
use crate::syntax::framing::Body;
use crate::syntax::method::Method;
use crate::syntax::request::{Limits, Progress, RequestParser};
use crate::syntax::response_framing::ResponseBody;
use crate::syntax::response_head::{ResponseLimits, ResponseParser};
use crate::syntax::target::Scheme;

/// A limit that what is passed on cannot reach.
const MORE: usize = 1 << 30;

/// Parses `data` as a message's head, passes it on, and parses what was written. It must mean the same. The first
/// octet of `data` chooses options.
///
/// # Panics
/// If it does not, or if a field is among it that belongs to one hop, or that frames the message a second time.
pub fn forward(data: &[u8]) {
    let Some((&options, data)) = data.split_first() else { return };
    if data.starts_with(b"HTTP/") { response(data, options) } else { request(data, options) }
}

fn request(data: &[u8], options: u8) {
    let limits = Limits { extension_methods: true, ..Limits::default() };
    let mut parser = RequestParser::default();
    let Ok(Progress::Complete(length)) = parser.advance(data, &limits) else { return };
    let (head, octets, mut scratch) = (parser.head(), &data[..length], Vec::new());
    for field in [AddressField::XForwardedFor, AddressField::Forwarded] {
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(client_address(peer, fields(octets), field, |_| false), peer, "nobody's word counts");
        client_address(peer, fields(octets), field, |address| address.is_loopback());
    }
    let Some(target) = head.origin_form(octets, &mut scratch) else { return };
    let host = if head.host(octets).is_empty() { b"default" } else { head.host(octets) };
    let policy = RequestPolicy {
        keeps_unusual_names: options & 1 != 0,
        provenance: Provenance { x_forwarded: options & 2 != 0, forwarded: options & 4 != 0, x_real_ip: false },
        ..RequestPolicy::default()
    };
    let forwarded = ForwardedRequest {
        method: head.method_text(octets),
        target,
        host,
        fields: fields(octets),
        http_1_0: head.is_http_1_0(),
        body: head.body(),
        client: ClientEnd {
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            is_trusted: options & 8 != 0,
            scheme: Scheme::Http,
            host,
        },
        policy: &policy,
        edits: &[],
        upgrade: (options & 16 != 0).then_some(b"x"),
        expects_continue: head.expects_continue(),
        close: options & 32 != 0,
    };
    let mut written = Vec::new();
    if forwarded.write(&mut written).is_err() {
        return;
    }
    let mut again = RequestParser::default();
    let limits = Limits { head: MORE, fields: MORE, target: MORE, ..limits };
    let progress = again.advance(&written, &limits);
    assert_eq!(progress, Ok(Progress::Complete(written.len())), "{}", written.escape_ascii());
    let second = again.head();
    assert_eq!((second.method(), second.body(), second.host(&written)), (head.method(), head.body(), host));
    assert_eq!((second.target(&written), second.method_text(&written)), (target, head.method_text(octets)));
    assert_eq!(second.expects_continue(), head.expects_continue());
    assert_eq!(second.is_persistent(), !forwarded.close);
    let (close, upgrade) = (forwarded.close, forwarded.upgrade.is_some() && !forwarded.close);
    check(fields(&written), close, upgrade);
    if !forwarded.client.is_trusted && options & 6 == 0 {
        assert!(!fields(&written).any(|(name, _)| is_provenance(name)));
    }
}

fn response(data: &[u8], options: u8) {
    let mut parser = ResponseParser::default();
    let Ok(Progress::Complete(length)) = parser.advance(data, &ResponseLimits::default()) else { return };
    let (head, octets) = (parser.head(), &data[..length]);
    let Ok(framing) = head.framing(Method::Get) else { return };
    let body = match framing {
        ResponseBody::Length(length) => Body::Length(length),
        ResponseBody::Chunked => Body::Chunked,
        ResponseBody::None | ResponseBody::UntilClose => Body::None,
    };
    let forwarded = ForwardedResponse {
        status: head.status(),
        reason: head.reason(octets),
        fields: head.fields(octets),
        http_1_0: head.is_http_1_0(),
        body,
        received: 0,
        pseudonym: PSEUDONYM,
        edits: &[],
        leave_out: &[],
        upgrade: head.upgrade(octets),
        close: options & 1 != 0,
        keep_alive: false,
    };
    let mut written = Vec::new();
    if forwarded.write(&mut written).is_err() {
        return;
    }
    let mut again = ResponseParser::default();
    let progress = again.advance(&written, &ResponseLimits { head: MORE, fields: MORE });
    assert_eq!(progress, Ok(Progress::Complete(written.len())), "{}", written.escape_ascii());
    let second = again.head();
    assert_eq!((second.status(), second.framing(Method::Get)), (head.status(), Ok(framing)));
    assert_eq!(second.upgrade(&written), head.upgrade(octets));
    let upgrade = forwarded.upgrade.is_some();
    check(fields(&written), forwarded.close && !upgrade, upgrade);
    assert!(fields(&written).values("date").count() <= 1);
}

/// What holds for every head that is passed on.
fn check(fields: FieldSection<'_>, close: bool, upgrade: bool) {
    let count = |name: &str| fields.clone().values(name).count();
    assert!(count("content-length") + count("transfer-encoding") <= 1, "one framing");
    let options = fields.clone().values("connection").flat_map(tokens);
    for option in options.clone() {
        let (trailers, is) = (count("te") == 1, |known: &[u8]| option == known);
        assert!(is(b"close") && close || is(b"upgrade") && upgrade || is(b"TE") && trailers);
    }
    assert!(options.count() == usize::from(close) + usize::from(upgrade) + count("te"));
    assert_eq!(count("upgrade"), usize::from(upgrade));
    for (name, value) in fields {
        let ours = [&b"Connection"[..], b"Content-Length", b"Transfer-Encoding", b"Upgrade", b"TE"].contains(&name);
        assert!(ours || !is_hop_by_hop(name), "{}", name.escape_ascii());
        assert!(name != b"TE" || value == b"trailers");
    }
}
