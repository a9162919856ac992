//! What peers and operators see of the logic towards backends.

mod choice;
mod flights;
mod fuzzed;
mod health;
mod learning;
mod matching;
mod query;
mod route;
mod support;
