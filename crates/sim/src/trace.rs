//! What happened, one line for each packet.

use std::collections::VecDeque;
use std::fmt;

use afpa_tcp::Time;

use crate::segment::Segment;

/// The most packets that are remembered; older ones are forgotten.
const LONGEST: usize = 400;

/// The last packets of a simulation.
#[derive(Default)]
pub struct Trace {
    lines: VecDeque<Line>,
    forgotten: u64,
}

struct Line {
    at: Time,
    /// Who did what: `client sends`.
    what: &'static str,
    fate: &'static str,
    packet: Vec<u8>,
}

impl Trace {
    /// Remembers a packet.
    pub fn packet(&mut self, at: Time, what: &'static str, fate: &'static str, packet: &[u8]) {
        if self.lines.len() == LONGEST {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(Line { at, what, fate, packet: packet.to_vec() });
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.forgotten > 0 {
            writeln!(f, "... {} packets before", self.forgotten)?;
        }
        for line in &self.lines {
            let seconds = line.at.0 as f64 / 1e9;
            write!(f, "{seconds:12.6} {:14} ", line.what)?;
            match Segment::decode(&line.packet) {
                Ok(segment) => write!(f, "{segment}")?,
                Err(error) => write!(f, "[{error}]")?,
            }
            writeln!(f, "{}{}", if line.fate.is_empty() { "" } else { " -- " }, line.fate)?;
        }
        Ok(())
    }
}
