//! `afpa run` in front of backends that are broken, slow or malicious, and behind clients that are; every octet is seen.

mod backend;
mod bad_backends;
#[path = "../free_address/mod.rs"]
mod free_address;
mod hops;
mod load;
mod message;
mod poisoning;
mod proxy;
mod smuggling;
mod streams;
mod upgrades;
mod weather;
