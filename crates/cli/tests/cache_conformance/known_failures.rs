//! The required and optimal cases that do not pass, each with the reason.

pub(crate) const KNOWN_FAILURES: &[(&str, &str)] = &[];
