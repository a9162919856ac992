//! The accelerators that are compared: caches in front of an origin of this program, on one core each.
//!
//! What lies under `/class/` is never kept, and the peers are told so; ours finds out.

use crate::peers::{Abilities, HAPROXY, Origin, Peer, Program, VARNISH, ours};

/// Our accelerator on the kernel's TCP.
const ACCELERATE: &[&str] =
    &["accelerate", "http://127.0.0.1:@BACKEND@", "--listen", "@ADDRESS@:@PORT@", "--cores", "0", "--log", "off"];
/// Towards clients on frames.
const DIRECT: &[&str] = &["--transport", "direct", "--interface", "@DEVICE@", "--congestion", "@CONGESTION@"];

/// Us and the peers, in the order of figures. See `peers/` for the configurations.
pub(crate) const PROXIES: &[Peer] = &[
    Peer { origin: Some(Origin::Resources), ready: "", ..ours("afpa", ACCELERATE, &[]) },
    Peer { origin: Some(Origin::Resources), ..ours("afpa-direct", ACCELERATE, DIRECT) },
    Peer {
        name: "nginx",
        program: Program::Installed("nginx"),
        arguments: &["-p", "@RUN@", "-e", "stderr", "-c", "@RUN@/nginx.conf"],
        options: &[],
        files: &[("nginx.conf", include_str!("../peers/nginx-proxy.conf"))],
        origin: Some(Origin::Resources),
        ready: "",
        abilities: Abilities::All,
        is_variant: false,
    },
    Peer { origin: Some(Origin::Resources), ..HAPROXY },
    // Queues by class in front of 16 connections to the origin.
    Peer {
        name: "haproxy-classes",
        origin: Some(Origin::Resources),
        files: &[("haproxy.cfg", include_str!("../peers/haproxy-classes.cfg"))],
        is_variant: true,
        ..HAPROXY
    },
    // An upgraded connection has a thread of its own.
    Peer { origin: Some(Origin::Resources), options: &["-p", "thread_pool_max=12000"], ..VARNISH },
];
