//! Both DNS modules on an engine, on the in-memory transport: tests play clients and backends, and move the clock.

mod allocating;
mod bench;
mod caching;
mod failing;
mod forwarding;
mod health;
mod malformed;
mod messages;
mod properties;
mod protection;
mod proxies;
mod recording;
mod routes;
mod streams;
mod tables;
mod transfers;
mod transport;
mod zones;

use afpa_platform::testing::CountingAllocator;

/// Counts each thread's allocations apart.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
