//! The parts of the program `afpa`: what it is told, and what it tells.
#![forbid(unsafe_code)]

pub mod access_log;
pub mod admin;
pub mod config;
pub mod fuzz;
pub mod graph;
pub mod signals;
pub mod stats;
pub mod systemd;
pub mod units;
