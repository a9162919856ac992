//! What this machine supports: one line for each transport and each way to frames, with what it would give,
//! or what is missing and what helps.

mod attached;
mod examine;
mod machine;

use std::fmt::Write;

use serde::Serialize;

use machine::Machine;

/// What was found.
#[derive(Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether the sockets transport works.
    sockets: bool,
    /// Whether the direct transport works: on the interface, or if none was named, as far as can be told.
    direct: Direct,
    /// Everything that was looked at, in order.
    findings: Vec<Finding>,
}

/// Whether the direct transport works over each kind of frames.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Direct {
    xdp: bool,
    packet: bool,
    tap: bool,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Serialize)]
struct Finding {
    part: &'static str,
    status: Status,
    /// What it gives, or what is missing.
    says: String,
    /// What helps.
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// It works, and less well than it could.
    Limited,
    Not,
}

impl Report {
    /// Looks at this machine and, if one is named, at an interface.
    pub fn of(interface: Option<&str>) -> Report {
        examine::report(&Machine::inspect(interface))
    }

    /// Whether the sockets transport works.
    pub fn can_serve(&self) -> bool {
        self.sockets
    }

    /// A line for each finding.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let width = self.findings.iter().map(|finding| finding.part.len()).max().unwrap_or_default();
        for Finding { part, status, says, remedy } in &self.findings {
            let status = match status {
                Status::Ok => "ok     ",
                Status::Limited => "limited",
                Status::Not => "not    ",
            };
            let _ = write!(text, "{status}  {part:width$}  {says}");
            let _ = match remedy {
                Some(remedy) => writeln!(text, "; {remedy}"),
                None => writeln!(text),
            };
        }
        text
    }

    /// All of it as JSON.
    pub fn json(&self) -> String {
        // It has no maps, whose keys alone could fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl Finding {
    fn ok(part: &'static str, says: impl Into<String>) -> Finding {
        Finding { part, status: Status::Ok, says: says.into(), remedy: None }
    }

    fn limited(part: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { part, status: Status::Limited, says: says.into(), remedy: Some(remedy.into()) }
    }

    fn not(part: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { part, status: Status::Not, says: says.into(), remedy: Some(remedy.into()) }
    }

    /// Like [`Finding::not`] for a reason that says what helps.
    fn refused(part: &'static str, says: impl Into<String>) -> Finding {
        Finding { part, status: Status::Not, says: says.into(), remedy: None }
    }

    fn works(&self) -> bool {
        self.status != Status::Not
    }
}
