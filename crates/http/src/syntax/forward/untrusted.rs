//! Fields that a client must not decide.

use super::hop_by_hop::{same_name, starts_with};

/// Say who the client is, or how its request came. From whoever is not trusted they are lies.
const PROVENANCE: &[&str] = &[
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "true-client-ip",
    "x-arr-ssl",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-host",
    "x-original-forwarded-for",
    "x-original-host",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-scheme",
    "x-url-scheme",
];

/// How the names of more of them start.
const PROVENANCE_START: &str = "x-forwarded";

/// Replace the request's target for some backends: what is stored under one target would be another's, and what
/// is forbidden under one be reached under another.
const TARGET: &[&str] = &["x-http-host-override", "x-original-uri", "x-original-url", "x-rewrite-url"];

/// Replace the request's method for some backends: what answers a GET would be another method's.
const METHOD: &[&str] = &["x-http-method", "x-http-method-override", "x-method-override", "x-original-method"];

/// Becomes the variable HTTP_PROXY of a CGI program, which makes its own requests go through the client's proxy.
const PROXY: &str = "proxy";

/// Whether `name` says where a request came from.
pub(super) fn is_provenance(name: &[u8]) -> bool {
    starts_with(name, PROVENANCE_START.as_bytes()) || is_in(name, PROVENANCE)
}

/// Whether `name` replaces the target.
pub(super) fn is_target_override(name: &[u8]) -> bool {
    is_in(name, TARGET)
}

/// Whether `name` replaces the method.
pub(super) fn is_method_override(name: &[u8]) -> bool {
    is_in(name, METHOD)
}

/// Whether `name` is never sent on.
pub(super) fn is_poison(name: &[u8]) -> bool {
    same_name(name, PROXY.as_bytes())
}

fn is_in(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| same_name(name, known.as_bytes()))
}
