//! How urgent a client says its request is (RFC 9218).

use crate::structured_field::{self, Value};

/// Urgencies are from 0 to 7 (RFC 9218 §4.1).
pub(crate) const URGENCIES: usize = 8;

/// The parameters of a `Priority` field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Priority {
    urgency: u8,
    /// Whether the client can use a part of the response before the rest is there (RFC 9218 §4.2).
    pub incremental: bool,
}

impl Default for Priority {
    /// What holds where nothing is said (RFC 9218 §4).
    fn default() -> Priority {
        Priority { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// With an urgency of at most 7, to which larger ones are cut.
    pub fn new(urgency: u8, incremental: bool) -> Priority {
        Priority { urgency: urgency.min(URGENCIES as u8 - 1), incremental }
    }

    /// From 0, the most urgent, to 7.
    pub fn urgency(&self) -> u8 {
        self.urgency
    }

    /// What the lines of a `Priority` field say. Parameters that are not known, out of range or of another type are
    /// ignored (RFC 9218 §4); a field that is no dictionary is as good as none (RFC 9651 §4.2).
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Priority {
        Priority::default().overridden_by(lines)
    }

    /// Of a request, with what the response of the server behind says about it: parameters that the response has not
    /// are the request's (RFC 9218 §8).
    pub fn overridden_by<'a>(self, lines: impl IntoIterator<Item = &'a [u8]>) -> Priority {
        let mut said = (None, None);
        for line in lines {
            let result = structured_field::dictionary(line, |key, value| match (key, value) {
                // The last one of a name counts (RFC 9651 §4.2.2), with its fault if it has one.
                (b"u", Value::Integer(urgency)) => said.0 = u8::try_from(urgency).ok().filter(|urgency| *urgency < 8),
                (b"u", _) => said.0 = None,
                (b"i", Value::Boolean(incremental)) => said.1 = Some(incremental),
                (b"i", _) => said.1 = None,
                _ => {}
            });
            if result.is_err() {
                return self;
            }
        }
        Priority { urgency: said.0.unwrap_or(self.urgency), incremental: said.1.unwrap_or(self.incremental) }
    }
}
