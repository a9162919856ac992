//! What the seam and the engine promise, on the in-memory transport: a test plays the peer on one
//! side and, as a closure, the state function on the other.

mod attending;
mod bench;
mod connections;
mod exchanges;
mod input;
mod jobs;
mod output;
mod releasing;
mod stopping;
mod tables;
mod timers;
mod transports;
