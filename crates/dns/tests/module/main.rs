//! Both DNS modules on an engine, on the in-memory transport: tests play clients and backends, and move the clock.

mod bench;
mod caching;
mod failing;
mod forwarding;
mod health;
mod malformed;
mod messages;
mod protection;
mod proxies;
mod routes;
mod streams;
mod tables;
mod transfers;
mod zones;
