//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use crate::config;
use crate::server::health;

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

/// Reads `data` as a backend's response to a check. What is said of a whole head stays when more arrives.
///
/// # Panics
/// If it does not.
pub fn check_response(data: &[u8]) {
    let whole = health::final_status(data);
    for end in 0..data.len() {
        match health::final_status(&data[..end]) {
            Ok(None) => {}
            Ok(Some(status)) => assert_eq!(whole.as_ref().ok(), Some(&Some(status)), "after {end} octets"),
            Err(_) => assert!(whole.is_err(), "malformed after {end} octets"),
        }
    }
    if let Ok(Some(status)) = whole {
        assert!(status == 101 || (200..=999).contains(&status), "{status}");
    }
}
