//! The direct transport against Linux's own TCP, in network namespaces that each test makes and removes.
//!
//! As root, with `ip`, on a kernel with AF_XDP; otherwise a test says what is missing and passes. With
//! `CI=true` root must have all of it.

mod client;
mod driver;
mod handover;
mod hostile;
mod lab;
mod lossy;
mod many;
mod observed;
mod pattern;
mod raw;
mod relay;
mod server;
mod site;
mod start;
mod transfers;
#[path = "../tree/mod.rs"]
mod tree;
mod wrong_use;
