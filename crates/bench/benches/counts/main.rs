//! Instruction counts of the hit path: `cargo bench -p afpa-bench --bench counts`.
//!
//! The program starts itself once more for each request, and steps through some hits of that process,
//! instruction by instruction. The counts repeat exactly on one kind of processor. They are compared
//! with those in `counts.txt`; `-- --save` writes them there.

#![forbid(unsafe_code)]

mod null;
mod steps;
mod subject;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs, io};

use afpa_http::states::derive_cached_response::derive_cached_response;
use afpa_http::states::derive_request::derive_request;

/// How many hits are stepped through. All must count the same.
const HITS: usize = 5;

/// By how many percent a count may differ from the one that is kept: compilers, and the copying
/// routines that the C library chooses for a processor, differ a little.
const TOLERANCE: u64 = 2;

/// What is counted. The hit is the whole of it, from the transport's *received* to its *sent*; the
/// others are parts of it.
const PARTS: [&str; 3] = ["derive request", "derive cached response", "hit"];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["hits", request] => {
            let (_, octets) = subject::REQUESTS.iter().find(|(name, _)| *name == request).expect("a request's name");
            subject::hits(octets, HITS as u64, wait_for_the_counter);
            ExitCode::SUCCESS
        }
        // Cargo says `--bench` when it runs a benchmark, and not when it runs tests.
        ref options if options.contains(&"--bench") => match report(options.contains(&"--save")) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("counts: {error}");
                ExitCode::FAILURE
            }
        },
        _ => ExitCode::SUCCESS,
    }
}

/// In the process that is counted: says where the functions lie, and waits until it is stepped.
fn wait_for_the_counter() {
    let functions: [usize; PARTS.len()] = [
        derive_request as *const () as usize,
        derive_cached_response as *const () as usize,
        null::hit as *const () as usize,
    ];
    println!("{}", functions.map(|function| function.to_string()).join(" "));
    io::stdin().read_line(&mut String::new()).expect("a counter");
}

/// Counts everything and prints it. Returns whether it is what is kept.
fn report(save: bool) -> Result<bool, String> {
    let kept = fs::read_to_string(kept_in()).unwrap_or_default();
    let (mut counts, mut same) = (String::new(), true);
    for (request, _) in subject::REQUESTS {
        for (part, count) in PARTS.iter().zip(count(request)?) {
            let name = format!("{part}, {request}");
            let before = kept.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse::<u64>().ok());
            let note = match before {
                Some(before) if before.abs_diff(count) * 100 > before * TOLERANCE => {
                    same = false;
                    format!("  {before} before: more than {TOLERANCE} % away")
                }
                Some(_) => String::new(),
                None => "  new".to_owned(),
            };
            println!("{name:<32} {count:>6}{note}");
            // Writing to a string cannot fail.
            let _ = writeln!(counts, "{name:<32} {count:>6}");
        }
    }
    if save {
        fs::write(kept_in(), counts).map_err(|error| format!("counts.txt: {error}"))?;
    }
    Ok(same || save)
}

fn kept_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("counts.txt")
}

/// The instructions of each part for one hit of `request`.
fn count(request: &str) -> Result<[u64; PARTS.len()], String> {
    let words = |error: io::Error| error.to_string();
    let mut child = Command::new(env::current_exe().map_err(words)?)
        .args(["hits", request])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(words)?;
    let (Some(mut go), Some(said)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("the pipes are missing".to_owned());
    };
    let mut line = String::new();
    BufReader::new(said).read_line(&mut line).map_err(words)?;
    let functions: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let functions: [u64; PARTS.len()] = functions.try_into().map_err(|_| "the process did not start".to_owned())?;
    let counted = steps::count(child.id(), &functions, || go.write_all(b"\n"));
    // It has ended, or is not needed any more.
    let _ = child.kill();
    let _ = child.wait();
    let calls = counted.map_err(|error| format!("a process cannot be stepped: {error}"))?;
    let mut counts = [0; PARTS.len()];
    for ((part, calls), count) in PARTS.iter().zip(calls).zip(&mut counts) {
        // A state function may run more than once for a hit.
        let hits: Vec<u64> = calls.chunks((calls.len() / HITS).max(1)).map(|calls| calls.iter().sum()).collect();
        if hits.len() != HITS || hits.iter().any(|hit| *hit != hits[0]) {
            return Err(format!("{part}, {request}: not the same for each of {HITS} hits: {calls:?}"));
        }
        *count = hits[0];
    }
    Ok(counts)
}
