//! One field line (RFC 9112 §5).

use std::ops::Range;

use super::error::RequestError;
use super::octet::{control_fault, has_control, is_token, is_white_space};

/// Where a field line's parts are, as offsets into the line.
pub(super) struct FieldLine {
    /// The name's length; the name comes first.
    pub(super) name: usize,
    /// The value, without white space around it.
    pub(super) value: Range<usize>,
}

impl FieldLine {
    /// Parses `line`, which is a field line without its CRLF, and not empty.
    #[inline]
    pub(super) fn parse(line: &[u8]) -> Result<FieldLine, RequestError> {
        let name = line.iter().position(|&octet| !is_token(octet)).unwrap_or(line.len());
        if name == 0 || line.get(name) != Some(&b':') {
            return Err(name_fault(line, name));
        }
        let (mut start, mut end) = (name + 1, line.len());
        while start < end && is_white_space(line[start]) {
            start += 1;
        }
        while start < end && is_white_space(line[end - 1]) {
            end -= 1;
        }
        if has_control(&line[start..end]) {
            return Err(control_fault(line).unwrap_or(RequestError::ControlCharacter));
        }
        Ok(FieldLine { name, value: start..end })
    }
}

/// Says what is wrong with a line whose name ends at `end` without a colon.
#[cold]
fn name_fault(line: &[u8], end: usize) -> RequestError {
    if line.first().copied().is_some_and(is_white_space) {
        return RequestError::FoldedField;
    }
    if let Some(fault) = control_fault(line) {
        return fault;
    }
    let rest = &line[end..];
    let colon = rest.iter().position(|&octet| octet == b':');
    match colon {
        None => RequestError::MissingColon,
        Some(colon) if colon > 0 && end > 0 && rest[..colon].iter().copied().all(is_white_space) => {
            RequestError::SpaceBeforeColon
        }
        Some(_) => RequestError::FieldName,
    }
}
