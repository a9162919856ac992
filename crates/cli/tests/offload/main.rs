//! Unmodified programs on the sockets of `afpa tcp-server`: real servers and clients, and a probe of every socket call.
//!
//! With `AFPA_TEST_PLAIN=1` they run on the kernel's sockets instead: what holds there must hold here. Some run with servers
//! of each kind (`--offload`); with `AFPA_TEST_OFFLOAD=receive` all do with one that only receives, and with
//! `AFPA_TEST_IO=epoll` servers use epoll. The programs are on
//! Debian: nginx-light, lighttpd, redis-server and redis-tools, memcached, postgresql, iperf3, curl, wget, python3,
//! nodejs, gcc. A test without its program says so and passes; with `CI=true` it fails.

mod clients;
mod death;
mod direct;
#[path = "../free_address/mod.rs"]
mod free_address;
mod http;
mod iperf;
mod kill;
#[expect(dead_code, reason = "what the tests of the direct transport need besides")]
#[path = "../direct/lab.rs"]
mod lab;
mod lighttpd;
mod memcached;
mod nginx;
mod node;
mod postgresql;
mod probe;
mod programs;
mod python;
mod redis;
mod registered;
#[expect(dead_code, reason = "what the tests of the direct transport need besides")]
#[path = "../direct/relay.rs"]
mod relay;
mod stack;
