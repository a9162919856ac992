//! `afpa dns` as clients, backends and operators meet it: real programs ask it, answer it and judge it.
//!
//! They are on Debian: dnsutils (dig), knot and knot-dnsutils (kdig), nsd, unbound, ldnsutils and python3-dnspython. A
//! test without its program says so and passes; with `CI=true` it fails.

mod backend;
mod cached;
mod client;
mod forwarded;
#[path = "../free_address/mod.rs"]
mod free_address;
mod hostile;
mod judged;
mod observed;
mod programs;
mod reload;
mod server;
mod stop;
mod streams;
mod tools;
#[path = "../../../dns/tests/zone_support/mod.rs"]
#[expect(dead_code, reason = "what the tests of zones need besides")]
mod zone_support;
