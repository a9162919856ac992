//! What `/api/stats` says, as far as it is shown. Whatever is not there is 0 or empty: a server without pools has none,
//! and another version of the program may say other things.

#![allow(missing_docs, reason = "structures and fields are those of crate::stats")]

use serde::Deserialize;

/// One answer of `/api/stats`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Sample {
    pub version: String,
    pub uptime_seconds: u64,
    pub draining: bool,
    pub engines: Vec<Engine>,
    pub pools: Vec<Pool>,
    pub classes: Vec<Class>,
    pub top_keys: Vec<Key>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Engine {
    pub connections: u64,
    pub connected: u64,
    pub received_octets: u64,
    pub sent_octets: u64,
    pub cache: Vec<Outcome>,
    pub transitions: Vec<Transition>,
    pub latency: Latency,
    pub dns: Option<Dns>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Dns {
    pub latency: Latency,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Latency {
    pub buckets: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Outcome {
    pub outcome: String,
    pub count: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Transition {
    pub module: String,
    pub state: String,
    pub outcome: String,
    pub count: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pool {
    pub name: String,
    pub waiting: u64,
    pub backends: Vec<Backend>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Backend {
    pub name: String,
    pub address: String,
    pub healthy: bool,
    pub ejected: bool,
    pub draining: bool,
    pub active: u64,
    pub requests: u64,
    pub failures: u64,
    pub sent_octets: u64,
    pub received_octets: u64,
    pub latency_us: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Class {
    pub name: String,
    pub priority: f64,
    pub weight: f64,
    pub requests: u64,
    pub refused: u64,
    pub waiting: u64,
    pub running: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Key {
    pub key: String,
    pub requests: u64,
}
