//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use crate::config;

/// Parses `data` as a configuration. Every error must have a place in the text and say something.
///
/// # Panics
/// If it does not.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.split('\n').count();
    for diagnostic in config::parse(text).diagnostics {
        assert!((1..=lines).contains(&diagnostic.line), "{diagnostic}");
        let length = text.split('\n').nth(diagnostic.line - 1).map_or(0, |line| line.chars().count());
        assert!((1..=length + 1).contains(&diagnostic.column), "{diagnostic}");
        assert!(!diagnostic.message.is_empty());
    }
}
