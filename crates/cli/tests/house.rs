//! The rules of the house: who may import whom, where `unsafe` may be, how long a file may be, and
//! that the documents speak of what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::de::{DeTable, DeValue};

/// The crates of this workspace that a crate may import.
const IMPORTS: &[(&str, &[&str])] = &[
    ("platform", &[]),
    ("cache", &["platform"]),
    ("caching", &[]),
    ("engine", &["cache", "platform"]),
    ("sockets", &["engine", "cache", "platform"]),
    ("balancing", &[]),
    ("routing", &[]),
    ("classes", &["wire"]),
    ("deferred", &[]),
    ("channel", &["platform"]),
    ("memnet", &["channel", "platform"]),
    ("preload", &["channel", "memnet", "platform"]),
    ("memnet-c", &["memnet"]),
    ("tcp-server", &["channel", "engine", "cache", "platform"]),
    ("http", &["engine", "cache", "platform", "wire", "caching", "balancing", "routing", "classes"]),
    ("dns", &["engine", "cache", "platform", "wire"]),
    ("wire", &[]),
    ("tcp", &["wire"]),
    ("sim", &["tcp", "wire"]),
    ("packetdrill", &["tcp", "wire"]),
    ("direct", &["tcp", "wire", "engine", "cache", "platform"]),
    ("cli", COMPOSERS),
    ("bench", COMPOSERS),
];
/// What may be imported where things are wired together.
const COMPOSERS: &[&str] = &[
    "direct",
    "tcp",
    "wire",
    "sockets",
    "http",
    "dns",
    "engine",
    "cache",
    "platform",
    "caching",
    "balancing",
    "routing",
    "classes",
    "channel",
    "memnet",
    "tcp-server",
];
/// The crates that may contain `unsafe`: the edge to the system, and C interfaces.
const UNSAFE: &[&str] = &["platform", "packetdrill", "memnet-c", "preload"];
const LONGEST_FILE: usize = 800;

#[test]
fn imports_flow_one_way() {
    let names: BTreeSet<_> = IMPORTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(crates(), names, "each crate has its rule, each rule its crate");
    for (name, allowed) in IMPORTS {
        let manifest = manifest(&format!("crates/{name}/Cargo.toml"));
        for table in ["dependencies", "build-dependencies"] {
            let imported = setting(&manifest, table).and_then(DeValue::as_table).into_iter().flat_map(|t| t.keys());
            let ours = |key: &str| names.contains(key).then(|| key.to_owned());
            for import in imported.filter_map(|key| ours(key.get_ref().trim_start_matches("afpa-"))) {
                assert!(allowed.contains(&import.as_str()), "{name} must not import {import}");
            }
        }
        let lints = setting(&manifest, "lints.workspace").and_then(DeValue::as_bool);
        assert_eq!(lints, Some(true), "{name} has the workspace's lints");
    }
}

#[test]
fn unsafe_code_stays_where_it_belongs() {
    for (path, text) in sources() {
        let confined = !UNSAFE.iter().any(|name| path.starts_with(format!("crates/{name}")));
        if confined && (path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")) {
            assert!(text.contains("\n#![forbid(unsafe_code)]\n"), "{} does not forbid unsafe code", path.display());
        }
        // A root that forbids it covers its own crate; tests, examples and benchmarks are others.
        if confined {
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let unsafe_here = code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
                let quoted = code.contains('"');
                assert!(!unsafe_here || quoted, "{}:{}: unsafe", path.display(), number + 1);
            }
        }
    }
    let manifest = manifest("Cargo.toml");
    let lint = setting(&manifest, "workspace.lints.clippy.undocumented_unsafe_blocks").and_then(DeValue::as_str);
    assert_eq!(lint, Some("deny"), "each unsafe block says why it is sound");
}

#[test]
fn files_are_short_and_finished() {
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    for (path, text) in sources() {
        let length = text.lines().count();
        assert!(length <= LONGEST_FILE, "{} has {length} lines", path.display());
        for mark in unfinished {
            let marked = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == mark);
            assert!(!marked, "{}: {mark}", path.display());
        }
    }
}

#[test]
fn the_life_of_a_request_passes_through_functions_that_exist() {
    let mut functions = 0;
    for heading in read("docs/life-of-a-request.md").lines().filter(|line| line.starts_with("## `")) {
        let (name, rest) = heading["## `".len()..].split_once('`').unwrap();
        let file = rest.trim().trim_matches(['(', ')', '`']);
        let text = read(file);
        let function = name.rsplit("::").next().unwrap();
        let defined = ["fn ", "trait "].iter().any(|keyword| {
            text.match_indices(&format!("{keyword}{function}"))
                .any(|(at, found)| text[at + found.len()..].starts_with(['(', '<']))
        });
        assert!(defined, "{heading}: there is no such function");
        functions += 1;
    }
    assert!(functions >= 8, "a life of {functions} steps");
}

#[test]
fn the_architecture_names_what_exists() {
    let text = read("ARCHITECTURE.md");
    let table = text.split_once("\n| crate |").expect("there is a table of crates").1;
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let named = rows.filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
    let named: BTreeSet<_> = named.collect();
    assert_eq!(named, crates(), "the table of crates");
    for quoted in text.split('`').skip(1).step_by(2) {
        let path = quoted.split(':').next().unwrap_or_default();
        let is_path = ["crates/", "docs/", "packaging/"].iter().any(|start| path.starts_with(start));
        assert!(!is_path || root().join(path).exists(), "{path} does not exist");
    }
}

#[test]
fn the_guide_quotes_code_that_is_compiled_and_tested() {
    let example = read("crates/sockets/examples/finger.rs");
    let blocks = fenced(&read("docs/module-authors-guide.md"), "rust");
    assert!(blocks.len() >= 8, "{} quotations", blocks.len());
    for block in blocks {
        // A quotation may leave something out; each of its parts is verbatim.
        for part in block.split("// ...\n").filter(|part| !part.trim().is_empty()) {
            assert!(example.contains(part.trim_end()), "not in the example:\n{part}");
        }
    }
}

#[test]
fn the_memnet_document_quotes_its_examples() {
    let text = read("docs/memnet.md");
    for (language, folder, least) in [("rust", "crates/memnet/examples", 5), ("c", "crates/memnet-c/examples", 1)] {
        let examples = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let examples: Vec<_> = examples.filter_map(|path| fs::read_to_string(path).ok()).collect();
        let blocks = fenced(&text, language);
        assert!(blocks.len() >= least, "{} quotations in {language}", blocks.len());
        for part in blocks.iter().flat_map(|block| block.split("// ...\n")).filter(|part| !part.trim().is_empty()) {
            assert!(examples.iter().any(|example| example.contains(part.trim_end())), "in no example:\n{part}");
        }
    }
}

#[test]
fn commands_in_the_readme_exist() {
    let text = read("README.md");
    let lines: Vec<_> = fenced(&text, "").iter().flat_map(|block| block.lines().map(str::to_owned)).collect();
    let mut checked = 0;
    for line in lines {
        let line = line.split('#').next().unwrap_or_default().replace("cargo run --release -- ", "afpa ");
        let words: Vec<_> = line.split_whitespace().skip_while(|word| *word == "sudo").collect();
        let Some((program, arguments)) = words.split_first() else { continue };
        match Path::new(program).file_name().and_then(|name| name.to_str()) {
            Some("afpa") => afpa_understands(&line, arguments),
            Some("afpa-bench") => bench_understands(&line, arguments),
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked >= 5, "{checked} commands");
}

/// Each flag is explained by the subcommand's help.
fn afpa_understands(line: &str, arguments: &[&str]) {
    let Some(subcommand) = arguments.first().filter(|word| !word.starts_with('-')) else { return };
    let output = Command::new(env!("CARGO_BIN_EXE_afpa")).args([subcommand, "--help"]).output().unwrap();
    assert!(output.status.success(), "{line}: no such subcommand");
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in arguments.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(flag), "{line}: {flag} is not in the help");
    }
}

/// The binary is another package's: its source must do.
fn bench_understands(line: &str, arguments: &[&str]) {
    let Some(subcommand) = arguments.first() else { return };
    let mut variant = (*subcommand).to_owned();
    variant[..1].make_ascii_uppercase();
    let source = read("crates/bench/src/main.rs");
    assert!(source.contains(&format!("    {variant}(")), "{line}: no such subcommand");
}

#[test]
fn defaults_in_the_readme_are_those_of_the_commented_configuration() {
    let configuration = manifest("packaging/afpa.toml");
    let mut checked = 0;
    for row in read("README.md").lines().filter(|line| line.starts_with("| `") && line.contains("` | `")) {
        let mut cells = row.split('`').skip(1).step_by(2);
        let (key, default) = (cells.next().unwrap(), cells.next().unwrap());
        let value = setting(&configuration, key).unwrap_or_else(|| panic!("{key} is no setting"));
        assert_eq!(shown(value), default, "{key}");
        checked += 1;
    }
    assert!(checked >= 10, "{checked} defaults");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for path in documents() {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.contains(' ') {
                continue;
            }
            let from = root().join(path.parent().unwrap());
            assert!(from.join(target).exists(), "{}: {target} does not exist", path.display());
        }
    }
}

#[test]
fn the_changelog_knows_the_version() {
    let manifest = manifest("Cargo.toml");
    let version = setting(&manifest, "workspace.package.version").and_then(DeValue::as_str).unwrap();
    let known = read("CHANGELOG.md").lines().any(|line| line.starts_with("## ") && line.contains(version));
    assert!(known, "{version} has no heading");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn manifest(path: &str) -> DeValue<'static> {
    let text: &'static str = read(path).leak();
    DeValue::Table(DeTable::parse(text).unwrap_or_else(|error| panic!("{path}: {error}")).into_inner())
}

/// The value of a dotted key.
fn setting<'a>(table: &'a DeValue<'static>, key: &str) -> Option<&'a DeValue<'static>> {
    key.split('.').try_fold(table, |value, part| value.get(part).map(|found| found.get_ref()))
}

/// A value as the file has it, but for quotation marks.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::Array(values) => values.iter().map(|value| shown(value.get_ref())).collect::<Vec<_>>().join(", "),
        other => panic!("{other:?} as a default"),
    }
}

fn crates() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap());
    entries.filter(|e| e.path().join("Cargo.toml").exists()).map(|e| e.file_name().into_string().unwrap()).collect()
}

/// Every Rust file of the workspace, by its path from the root.
fn sources() -> BTreeMap<PathBuf, String> {
    files(Path::new("crates"), "rs")
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(root().join(path)).unwrap()))
        .collect()
}

fn documents() -> Vec<PathBuf> {
    let top = fs::read_dir(root()).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name()));
    let mut found: Vec<_> = top.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    for directory in ["docs", "packaging", "crates"] {
        found.extend(files(Path::new(directory), "md"));
    }
    found
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(directory)).unwrap() {
        let entry = entry.unwrap();
        let path = directory.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

/// The contents of the fenced blocks of this language; of no language, if it is empty.
fn fenced(text: &str, language: &str) -> Vec<String> {
    let (mut blocks, mut open) = (Vec::new(), None::<(bool, String)>);
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(tag)) => open = Some((tag == language, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take().filter(|(wanted, _)| *wanted).map(|(_, block)| block)),
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}
