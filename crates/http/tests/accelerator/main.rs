//! The modules `http` and `http-upstream` on one engine: clients and backends are scripts, the network lies in memory, and
//! the test moves the clock.

mod bench;
mod bodies;
mod caching;
mod events;
mod failing;
mod flights;
mod hedging;
mod parts;
mod pieces;
mod properties;
mod purging;
mod quality;
mod reloads;
mod tables;
mod tunnels;
