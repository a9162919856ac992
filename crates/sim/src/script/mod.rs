//! A small language for conversations with one TCP, after the manner of packetdrill; `scripts/README.md`
//! describes it.
//!
//! ```text
//! # RFC 9293 §3.5: three-way handshake
//! < SYN seq 0 win 65535 <mss 1000>
//! > SYN,ACK seq 0 ack 1 <mss *>
//! < ACK seq 1 ack 1
//! expect opened yes
//! ```

mod application;
mod check;
mod flow;
mod pattern;
mod runner;
mod settings;
mod step;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};

use runner::Runner;
use step::{Action, Step};

/// A script, read and ready to run.
pub struct Script {
    name: String,
    steps: Vec<Step>,
}

impl Script {
    /// Reads a script. `name` is for messages.
    ///
    /// # Errors
    /// Names the line that cannot be understood.
    pub fn parse(name: &str, text: &str) -> Result<Script, String> {
        let first = text.lines().next().unwrap_or_default();
        if !first.starts_with("# RFC ") && !first.starts_with("# DESIGN") {
            return Err(format!("{name}:1: the first line is a comment that names the clause"));
        }
        let mut steps = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let action = Action::parse(line).map_err(|error| format!("{name}:{}: {error}", number + 1))?;
            steps.push(Step { line: number + 1, action });
        }
        Ok(Script { name: name.to_owned(), steps })
    }

    /// Runs it over IPv4 and IPv6, each time against a TCP of its own.
    ///
    /// # Errors
    /// Names the line that did not hold, what was expected and what was seen, and shows the packets until then.
    pub fn run(&self) -> Result<(), String> {
        for version in [4, 6] {
            let only = self.steps.iter().find_map(|step| match step.action {
                Action::Ip(only) => Some(only),
                _ => None,
            });
            if only.is_none_or(|only| only == version) {
                self.run_over(version)?;
            }
        }
        Ok(())
    }

    fn run_over(&self, version: u8) -> Result<(), String> {
        let mut runner = Runner::new(version, &self.steps).map_err(|error| format!("{}: {error}", self.name))?;
        let mut line = 0;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            for step in &self.steps {
                line = step.line;
                runner.step(&step.action)?;
            }
            runner.end()
        }));
        let failed = match ran {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
            }
        };
        Err(format!("{}:{line} (IPv{version}): {failed}\n{}", self.name, runner.trace()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_understood_is_named() {
        for (line, part) in [
            ("expect", "expect"),
            ("< SIN seq 0", "SIN"),
            ("call fly", "fly"),
            ("> 1..0.5 ACK", "1..0.5"),
            ("config colour red", "colour"),
            ("< ACK seq x", "x"),
            ("hello", "hello"),
        ] {
            let Err(error) = Script::parse("test", &format!("# RFC 1\n\n{line}\n")) else { panic!("{line} passes") };
            assert!(error.starts_with("test:3: ") && error.contains(part), "{error}");
        }
        assert!(Script::parse("test", "< SYN seq 0\n").is_err(), "no clause");
    }

    #[test]
    fn what_does_not_hold_is_named_with_its_line() {
        let script = Script::parse("test", "# RFC 1\n< SYN seq 0 <mss 1000>\n> RST seq 7\n").unwrap();
        let error = script.run().unwrap_err();
        assert!(error.starts_with("test:3 (IPv4): "), "{error}");
    }
}
