//! packetdrill's judgment, where there is one: every script in `scripts`, each in a process of its own.
//!
//! The program is the one that `AFPA_PACKETDRILL` names, or `packetdrill` on the path. Without it, this test says so.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The addresses of the scripts' two ends.
const ADDRESSES: [&str; 5] = [
    "--ip_version=ipv4",
    "--local_ip=192.168.0.1",
    "--gateway_ip=192.168.0.2",
    "--netmask_ip=255.255.0.0",
    "--remote_ip=192.0.2.1",
];

#[test]
fn every_script_passes() {
    let Some(program) = program() else {
        eprintln!("skipped: no packetdrill on the path, and AFPA_PACKETDRILL names none");
        return;
    };
    let library = library();
    let failures: Vec<_> = scripts().iter().filter_map(|script| failure(&program, &library, script)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_script_says_which_clause_it_is_for() {
    let scripts = scripts();
    assert!(scripts.len() >= 21, "{} scripts", scripts.len());
    for script in scripts {
        let text = fs::read_to_string(&script).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("// ") && first.contains("RFC "), "{}: {first}", script.display());
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os("AFPA_PACKETDRILL") {
        return Some(PathBuf::from(named));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("packetdrill")).find(|file| file.is_file())
}

/// The adapter as cargo built it for this test, beside it.
fn library() -> PathBuf {
    let test = env::current_exe().unwrap();
    let folders = test.ancestors().skip(1).take(2);
    let mut candidates = folders.map(|folder| folder.join("libafpa_packetdrill.so"));
    candidates.find(|file| file.is_file()).expect("cargo builds the library beside its tests")
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut scripts: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "pkt"));
    scripts.sort();
    scripts
}

fn failure(program: &Path, library: &Path, script: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(format!("--so_filename={}", library.display())).args(ADDRESSES).arg(script);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (!output.status.success()).then(|| format!("{}: {said}", script.display()))
}
