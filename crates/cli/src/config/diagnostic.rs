//! One thing that is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// An error in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file; absent for text that came from elsewhere.
    pub file: Option<PathBuf>,
    /// The line, from 1; 0 if the error has no place in the text.
    pub line: usize,
    /// The column in characters, from 1; 0 if the error has no place in the text.
    pub column: usize,
    /// What was expected and what was found.
    pub message: String,
}

impl Diagnostic {
    /// An error at octet `offset` of `source`.
    pub(super) fn at(source: &str, offset: usize, message: String) -> Diagnostic {
        let mut offset = offset.min(source.len());
        while !source.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &source[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Diagnostic {
            file: None,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
        }
    }

    /// An error about the file as a whole.
    pub(super) fn of_file(path: &Path, reason: &str) -> Diagnostic {
        Diagnostic { file: Some(path.to_owned()), line: 0, column: 0, message: reason.to_owned() }
    }

    pub(super) fn in_file(mut self, path: &Path) -> Diagnostic {
        self.file = Some(path.to_owned());
        self
    }
}

impl fmt::Display for Diagnostic {
    /// `FILE:LINE:COLUMN: message`, as compilers write it, so that editors can follow it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
        }
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if self.file.is_some() || self.line > 0 {
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}
