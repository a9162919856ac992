//! Runs every script.

use std::fs;
use std::path::Path;

use afpa_sim::Script;

/// `AFPA_SIM_SCRIPT` runs only those whose name contains it.
#[test]
fn every_script_holds() {
    let only = std::env::var("AFPA_SIM_SCRIPT").unwrap_or_default();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "script"));
    paths.sort();
    let mut failed = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.contains(&only) {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        if let Err(error) = Script::parse(name, &text).and_then(|script| script.run()) {
            failed.push(error);
        }
    }
    let (count, all) = (failed.len(), paths.len());
    assert!(failed.is_empty(), "{count} of {all} scripts failed\n\n{}", failed.join("\n"));
}
