//! The program that runs, as it was called.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf, absolute};

/// Where the program is, and its arguments. The path is the one that it was called by: an operator who replaces the
/// file, or what a symbolic link leads to, means the new one.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What it was told, without its own name.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// This one. Call it before the working directory changes.
    pub fn of_this_process() -> Program {
        let mut arguments = env::args_os();
        let called = arguments.next().map(PathBuf::from).unwrap_or_default();
        Program { path: find(&called).unwrap_or_default(), arguments: arguments.collect() }
    }
}

/// As the shell finds it; the path that the kernel knows if there is no such file.
fn find(called: &Path) -> Option<PathBuf> {
    let is_path = called.parent().is_some_and(|parent| !parent.as_os_str().is_empty());
    let found = if is_path {
        absolute(called).ok().filter(|path| path.is_file())
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).map(|directory| directory.join(called)).find(|path| path.is_file())
    };
    found.or_else(|| env::current_exe().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_the_shell_finds_it() {
        let shell = find(Path::new("sh")).unwrap();
        assert!(shell.is_absolute() && shell.ends_with("sh"), "{shell:?}");
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("shell");
        std::os::unix::fs::symlink(shell, &link).unwrap();
        assert_eq!(find(&link), Some(link), "a link is not followed");
        assert_eq!(find(Path::new("/nonexistent/afpa")), env::current_exe().ok());
    }
}
