//! Makes of a client's request what a backend is asked.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use afpa_balancing::hash;
use afpa_cache::Object;
use afpa_caching::{Fields, conditional};
use afpa_engine::Context;
use afpa_routing::{FieldChange, Target};
use afpa_wire::proxy_protocol::{self, Carrier, Endpoints};

use super::choose_route::Lines;
use super::client::{client, destination, peer};
use crate::fetch::FetchTimes;
use crate::fetch::outgoing::{Keeping, Outgoing};
use crate::fetch::upload::Upload;
use crate::kept::Kept;
use crate::module::Http;
use crate::remote::Routed;
use crate::syntax::forward::{ClientEnd, FieldEdit, ForwardedRequest, RequestPolicy};
use crate::syntax::{Body, FieldLines, Method, Scheme, fields};

/// What goes along with a request.
pub(super) struct Options {
    /// The cache may keep the answer.
    pub(super) keeps: bool,
    /// It is asked for a part.
    pub(super) is_part: bool,
    /// An object that the backend is asked about.
    pub(super) validates: Option<Arc<Object<Kept>>>,
    /// The key without what responses vary by.
    pub(super) key: Vec<u8>,
}

/// Why nothing can be asked: a status for the client.
pub(super) struct Refused(pub(super) u16);

/// Writes the request as it is sent on. The client's head must be kept.
pub(super) fn outgoing(
    cx: &mut Context<'_, Http>,
    routed: &Routed,
    upload: Option<Rc<RefCell<Upload>>>,
    options: Options,
) -> Result<Outgoing, Refused> {
    let (peer, client) = (peer(cx), client(cx));
    let octets = &cx.request.kept_head[..];
    let head = cx.request.parser.head();
    let route = routed.route();
    let relay = &routed.relay.relay;
    let Target::Pool(pool) = route.target else { return Err(Refused(502)) };
    let method = head.method();
    let lines: FieldLines<'_> = fields(octets).collect();
    let asked = Fields(&lines);
    let mut lowered = Vec::new();
    let host_name = head.host_name(octets, &mut lowered).unwrap_or_default();
    let mut buffer = Vec::new();
    let as_sent = match method {
        Method::Connect => head.target(octets),
        _ => head.origin_form(octets, &mut buffer).unwrap_or(b"/"),
    };
    let mut rewritten = Vec::new();
    if !route.rewrite.is_empty() {
        rewrite(routed, head, octets, host_name, &mut rewritten)?;
    }
    let target = if route.rewrite.is_empty() { as_sent } else { &rewritten };
    let is_trusted = (relay.forwarding.is_trusted)(peer.ip());
    let end = ClientEnd { peer: peer.ip(), client, is_trusted, scheme: Scheme::Http, host: head.host(octets) };
    let upgrade = head.upgrade(octets).and_then(|mut values| values.next()).filter(|_| route.upgrade);
    // A validation is about the whole, and so is what is to be kept.
    let mut edits = edits(&route.request_fields);
    let mut encodings = Vec::new();
    if options.keeps {
        for (name, _) in lines.iter().filter(|(name, _)| conditional::is_condition(name)) {
            edits.push(FieldEdit::Remove(name));
        }
        if asked.has(b"accept-encoding") {
            // What the key of a variant tells apart is all that the backend may tell apart.
            afpa_caching::vary::append_accept_encoding(asked, &mut encodings);
            edits.push(FieldEdit::Set(b"Accept-Encoding", &encodings));
        }
    }
    let validated = options.validates.as_ref().and_then(|object| match &**object.details() {
        Kept::Remote(details) => Some(details.clone()),
        _ => None,
    });
    for (name, value) in validated.iter().flat_map(|details| conditional::validation_fields(&details.stored)) {
        edits.push(FieldEdit::Set(name, value));
    }
    let body = head.body();
    let host = if head.host(octets).is_empty() { host_name } else { head.host(octets) };
    let policy =
        RequestPolicy { pseudonym: &relay.name, provenance: relay.forwarding.provenance, ..RequestPolicy::default() };
    let forwarded = ForwardedRequest {
        method: head.method_text(octets),
        target,
        host,
        fields: fields(octets),
        http_1_0: head.is_http_1_0(),
        body,
        client: end,
        policy: &policy,
        edits: &edits,
        upgrade,
        expects_continue: head.expects_continue() && body != Body::None,
        close: relay.proxy_protocol[pool].is_some(),
    };
    let mut written = Vec::with_capacity(octets.len() + 128);
    forwarded.write(&mut written).map_err(|error| Refused(error.status()))?;
    let keeping = options.keeps.then(|| Keeping {
        key: options.key,
        octets: octets.to_vec(),
        policy: route.caching.unwrap_or_default(),
        is_part: options.is_part,
        validates: options.validates,
        requested_at: cx.global.clock.seconds(),
        purges: relay.shared.purges.count(),
    });
    let preamble = match relay.proxy_protocol[pool] {
        Some(version) => preamble(SocketAddr::new(client, peer.port()), destination(cx), version),
        None => Vec::new(),
    };
    let hash = hash_of(relay, pool, octets, host_name, as_sent, client);
    Ok(Outgoing {
        head: RefCell::new(written),
        method,
        upload,
        is_chunked: body == Body::Chunked,
        upgrades: upgrade.is_some() || method == Method::Connect,
        pool,
        hash,
        sticky: sticky(relay, pool, octets),
        preamble,
        keeping,
        routed: routed.clone(),
        times: times(relay.times[pool], route.limits.try_timeout),
    })
}

fn times(of_pool: FetchTimes, of_route: Option<Duration>) -> FetchTimes {
    FetchTimes { first_byte: of_route.unwrap_or(of_pool.first_byte), ..of_pool }
}

fn rewrite(
    routed: &Routed,
    head: &crate::syntax::RequestHead,
    octets: &[u8],
    host: &[u8],
    target: &mut Vec<u8>,
) -> Result<(), Refused> {
    let mut scratch = Vec::new();
    let path = head.path(octets, &mut scratch).map_err(|error| Refused(error.status()))?;
    let lines = Lines(fields(octets));
    let view = afpa_routing::RequestView {
        method: head.method_text(octets),
        host,
        path,
        query: head.query(octets),
        fields: &lines,
    };
    let mut captures = afpa_routing::Captures::new();
    target.clear();
    routed.route().rewrite.target(&view, &mut captures, target).map_err(|_| Refused(400))
}

fn edits(changes: &[FieldChange]) -> Vec<FieldEdit<'_>> {
    changes.iter().map(edit).collect()
}

fn edit(change: &FieldChange) -> FieldEdit<'_> {
    match change {
        FieldChange::Set { name, value } => FieldEdit::Set(name.as_bytes(), value.as_bytes()),
        FieldChange::Add { name, value } => FieldEdit::Add(name.as_bytes(), value.as_bytes()),
        FieldChange::Remove { name } => FieldEdit::Remove(name.as_bytes()),
    }
}

/// What the pool's strategy goes by.
fn hash_of(
    relay: &crate::remote::Relay,
    pool: usize,
    octets: &[u8],
    host: &[u8],
    target: &[u8],
    peer: IpAddr,
) -> Option<u64> {
    use crate::remote::HashOn;
    match relay.hash_on.get(pool)?.as_ref()? {
        HashOn::Url => Some(hash(&[host, target].concat())),
        HashOn::Client => Some(match peer {
            IpAddr::V4(address) => hash(&address.octets()),
            IpAddr::V6(address) => hash(&address.octets()),
        }),
        HashOn::Field(name) => fields(octets).first(name).map(hash),
        HashOn::Cookie(name) => cookie(octets, name.as_bytes()).map(hash),
    }
}

/// The value of the cookie that names a backend.
fn sticky(relay: &crate::remote::Relay, pool: usize, octets: &[u8]) -> Option<Vec<u8>> {
    let state = relay.pools.get(pool)?.state.latest();
    let sticky = state.config().sticky.as_ref()?;
    cookie(octets, sticky.cookie.as_bytes()).map(<[u8]>::to_vec)
}

fn cookie<'a>(octets: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let pairs = fields(octets).values("cookie").flat_map(|line| line.split(|&octet| octet == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// The PROXY header that names the client and where it sent to. Both are of one family in it: a client of another, whom a
/// trusted proxy named, sent to an address that nobody knows here.
fn preamble(client: SocketAddr, destination: Option<SocketAddr>, version: u8) -> Vec<u8> {
    let mut header = Vec::new();
    let unspecified = match client.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let destination = destination
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .filter(|address| address.is_ipv4() == client.is_ipv4())
        .unwrap_or(SocketAddr::new(unspecified, 0));
    let endpoints = Endpoints { source: client, destination };
    match version {
        1 => proxy_protocol::write_line(&endpoints, &mut header),
        _ => proxy_protocol::write(Some(&endpoints), Carrier::Stream, &mut header),
    }
    header
}
