//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use crate::Priority;

/// Reads `data` as the lines of a `Priority` field.
///
/// # Panics
/// If what was read is out of range, or if it depends on whether a request or a response says it.
pub fn priority(data: &[u8]) {
    let lines = || data.split(|octet| *octet == b'\n');
    let read = Priority::parse(lines());
    assert!(read.urgency() < 8, "an urgency of {}", read.urgency());
    assert_eq!(read.overridden_by(lines()), read, "said twice");
    for request in [Priority::new(0, true), Priority::new(7, false)] {
        let merged = request.overridden_by(lines());
        let is_said = merged.urgency() == read.urgency();
        assert!(is_said || merged.urgency() == request.urgency() && read == Priority::new(3, read.incremental));
    }
}
