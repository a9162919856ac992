//! The socket provider on a network of memory: what the peer and the application see.

#[path = "../common/adopting.rs"]
mod adopting;
#[path = "../common/mod.rs"]
mod common;

mod accepting;
mod ends;
mod forging;
mod jobs;
mod moving;
mod objects;
mod processes;
mod stage;
mod steering;
mod telling;
