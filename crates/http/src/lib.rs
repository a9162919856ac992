//! placeholder
pub mod access_log;
