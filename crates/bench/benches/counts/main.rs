//! Instruction counts of the hit path, which repeat exactly: `cargo bench -p afpa-bench --bench counts`.
//!
//! The program runs itself under callgrind once with few and once with more hits, and divides the
//! difference by the hits between: what happens once does not count. The counts are compared with
//! those in `counts.txt`; `-- --save` writes them there. Needs valgrind.

#![forbid(unsafe_code)]

mod null;
mod subject;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::{env, fs};

/// How many hits the two runs have.
const FEW: u64 = 10;
const MORE: u64 = 110;

/// By how many percent a count may differ from the one that is kept: compilers differ a little.
const TOLERANCE: u64 = 2;

/// What is counted, with the functions in which callgrind counts. `hit` is the whole of it, from the
/// transport's *received* to its *sent*; the others are parts of it.
const PARTS: [(&str, &str); 3] = [
    ("derive request", "afpa_http::states::derive_request::derive_request*"),
    ("derive cached response", "afpa_http::states::derive_cached_response::derive_cached_response*"),
    ("hit", "counts::null::hit*"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["hits", request, count] => {
            let request = subject::REQUESTS.iter().find(|(name, _)| *name == request).expect("a request's name");
            subject::hit(request.1, count.parse().expect("a number"));
            ExitCode::SUCCESS
        }
        // Cargo says `--bench` when it runs a benchmark, and not when it runs tests.
        ref options if options.contains(&"--bench") => report(options.contains(&"--save")),
        _ => ExitCode::SUCCESS,
    }
}

/// Counts everything, and says what differs from what is kept.
fn report(save: bool) -> ExitCode {
    let kept = fs::read_to_string(kept_in()).unwrap_or_default();
    let (mut counts, mut differs) = (String::new(), false);
    for (part, function) in PARTS {
        for (request, _) in subject::REQUESTS {
            let count = match (collected(function, request, FEW), collected(function, request, MORE)) {
                (Ok(few), Ok(more)) => more.saturating_sub(few) / (MORE - FEW),
                (Err(reason), _) | (_, Err(reason)) => {
                    eprintln!("{part}, {request}: {reason}");
                    return ExitCode::FAILURE;
                }
            };
            let name = format!("{part}, {request}");
            let before = kept.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse::<u64>().ok());
            let note = match before {
                Some(before) if before.abs_diff(count) * 100 > before * TOLERANCE => {
                    differs = true;
                    format!("differs by more than {TOLERANCE} %: {before} is kept")
                }
                Some(_) => String::new(),
                None => "new".to_owned(),
            };
            println!("{name:<40} {count:>6}  {note}");
            // Writing to a string cannot fail.
            let _ = writeln!(counts, "{name:<40} {count:>6}");
        }
    }
    if save {
        fs::write(kept_in(), counts).expect("counts.txt can be written");
    }
    if differs && !save { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn kept_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("counts.txt")
}

/// The instructions that run in `function` while a fresh process answers `hits` requests.
fn collected(function: &str, request: &str, hits: u64) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={function}"))
        .arg(program)
        .args(["hits", request, &hits.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    match count {
        Some(count) if output.status.success() && count > 0 => Ok(count),
        Some(0) if output.status.success() => Err(format!("{function} never ran, or has no symbol")),
        _ => Err(format!("valgrind failed: {said}")),
    }
}
