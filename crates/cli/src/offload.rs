//! Runs a program with the library that takes its sockets to a TCP server.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Offload;
use crate::tcp_server;

/// The library.
const LIBRARY: &str = "libmemnet_preload.so";
/// Where it is, if somewhere else.
const LIBRARY_PATH: &str = "AFPA_PRELOAD";

/// Becomes the program. Returns only if it cannot: a sentence.
pub fn execute(offload: &Offload) -> String {
    match prepare(offload) {
        Ok(mut command) => {
            let error = command.exec();
            format!("{} cannot be run: {error}", offload.program[0].display())
        }
        Err(problem) => problem,
    }
}

fn prepare(offload: &Offload) -> Result<Command, String> {
    let socket = tcp_server::socket_path(offload.socket.as_deref())?;
    tcp_server::ask_status(&socket)?;
    let library = library()?;
    let (program, arguments) = offload.program.split_first().ok_or("there is no program to run")?;
    let mut command = Command::new(program);
    command.args(arguments).env("LD_PRELOAD", preloaded(&library)).env("AFPA_TCP_SERVER", &socket);
    if let Some(ports) = &offload.ports {
        command.env("AFPA_OFFLOAD_PORTS", ports.to_string());
    }
    if let Some(addresses) = &offload.addresses {
        command.env("AFPA_OFFLOAD_ADDRESSES", addresses.to_string());
    }
    Ok(command)
}

/// The library, and what is preloaded anyway.
fn preloaded(library: &Path) -> OsString {
    let mut list = library.as_os_str().to_owned();
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        list.push(":");
        list.push(others);
    }
    list
}

fn library() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(LIBRARY_PATH).map(PathBuf::from) {
        let found = path.canonicalize().ok().filter(|path| path.is_file());
        return found.ok_or_else(|| format!("{LIBRARY_PATH} names {}, where there is no library", path.display()));
    }
    let program = std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    let directory = program.parent().unwrap_or(Path::new("/"));
    let places = [directory.join(LIBRARY), directory.join("../lib/afpa").join(LIBRARY)];
    places.iter().find_map(|place| place.canonicalize().ok()).ok_or_else(|| {
        format!("{LIBRARY} is neither in {} nor in ../lib/afpa; set {LIBRARY_PATH} to where it is", directory.display())
    })
}
