//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use crate::sticky::{StickyConfig, Token};

/// Looks for a sticky cookie in `data`, a Cookie field. What is found is a part of the field, and what is read as a
/// backend's name is written as it was.
///
/// # Panics
/// If it is not.
pub fn cookie(data: &[u8]) {
    let config = StickyConfig::new("backend", [7; 16]);
    let Some(value) = config.find(data) else { return };
    assert!(!value.contains(&b';'), "more than a value");
    let named = data.windows(8 + value.len()).any(|part| part.starts_with(b"backend=") && part.ends_with(value));
    assert!(named, "a value of another cookie");
    if let Some(token) = Token::read(value) {
        assert_eq!(token.digits(), value, "another name");
    }
}
