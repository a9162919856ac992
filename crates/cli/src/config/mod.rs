//! What the server is told to do: one model, built from a file or from the command line.
//!
//! - [`Config`]: the model, with its defaults.
//! - [`parse`]: TOML text to a `Config`, with every error and its place.
//! - [`problems`]: what is well written and still cannot work.

pub mod accelerate;
pub mod classes;
mod diagnostic;
mod direct;
pub mod dns;
mod model;
pub mod pools;
mod problems;
mod read;
mod section;
pub mod sites;
pub mod tcp_server;
mod words;

use std::path::Path;

pub use diagnostic::Diagnostic;
pub use direct::{Checksum, Congestion, Direct, Frames, Handshake, Transport};
pub use model::{
    Admin, Cache, CacheControlRule, Config, Cores, Interface, Limits, Log, LogFormat, Respond, Site, Workers,
};
pub use problems::{Problem, problems, surroundings};
pub use read::{Parsed, parse};
pub use sites::router;
pub use tcp_server::TcpServer;

/// The longest configuration that is read.
pub const MAX_FILE: u64 = 1 << 20;

/// Reads and checks a configuration file, including the directories and files that it names.
///
/// # Errors
/// Every error found, in the order of the file.
pub fn load(path: &Path) -> Result<Config, Vec<Diagnostic>> {
    load_with(path, surroundings)
}

/// Like [`load`], but looks at nothing that the file names: it may be another machine's.
///
/// # Errors
/// Every error found, in the order of the file.
pub fn read(path: &Path) -> Result<Config, Vec<Diagnostic>> {
    load_with(path, |_| Vec::new())
}

fn load_with(path: &Path, look: fn(&Config) -> Vec<Problem>) -> Result<Config, Vec<Diagnostic>> {
    let text = read_file(path).map_err(|reason| vec![Diagnostic::of_file(path, &reason)])?;
    let mut parsed = parse(&text);
    let found = look(&parsed.config);
    parsed.report(found);
    if parsed.diagnostics.is_empty() {
        return Ok(parsed.config);
    }
    parsed.diagnostics.sort_by_key(|d| (d.line, d.column));
    Err(parsed.diagnostics.into_iter().map(|d| d.in_file(path)).collect())
}

fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("expected a configuration of at most 1 MiB, found a larger file".into());
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("expected UTF-8 text, found other bytes after octet {}", error.utf8_error().valid_up_to())
    })
}
