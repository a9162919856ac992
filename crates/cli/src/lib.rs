//! The parts of the program `afpa`: what it is told, what it starts, and what it tells.
//!
//! - [`args`], [`config`], [`units`]: the command line and the configuration file, one model.
//! - [`commands`]: what each command does; [`server`] starts the engines, [`supervisor`] drives them.
//! - [`signals`], [`systemd`], [`process`]: the system around the server; [`upgrade`]: another program takes over from it.
//! - [`admin`], [`stats`], [`access_log`], [`graph`]: what the server tells.
//! - [`top`]: what a running server tells, in a terminal. [`purge`]: what it is told to take out of its caches.
//! - [`lab`], [`doctor`], [`capture`]: what helps with the direct transport.
//! - [`tcp_server`]: TCP for other processes; [`offload`] runs programs on it.
#![forbid(unsafe_code)]

pub mod access_log;
pub mod admin;
mod answer;
pub mod args;
pub mod capture;
pub mod commands;
pub mod config;
pub mod doctor;
pub mod explain;
pub mod fuzz;
pub mod graph;
pub mod lab;
pub mod offload;
pub mod process;
pub mod purge;
pub mod server;
pub mod signals;
pub mod stats;
pub mod supervisor;
pub mod systemd;
pub mod tcp_server;
pub mod top;
pub mod units;
pub mod upgrade;
