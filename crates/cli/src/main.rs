//! The program `afpa`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    afpa_cli::commands::execute(afpa_cli::args::Arguments::parse().command)
}
