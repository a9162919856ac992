//! `afpa-bench`: loads servers, and compares them on equal terms.

#![forbid(unsafe_code)]

mod affinity;
mod channel;
mod command;
mod compare;
mod cpu;
mod crowd;
mod dns;
mod echo;
mod fileset;
mod howl;
mod interrupt;
mod load;
mod offload;
mod origin;
mod peers;
mod proxies;
mod proxy;
mod qos;
mod server;
mod smoke;
mod topology;
mod units;
mod web;
mod wire;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Loads HTTP servers, and compares them on equal terms.
#[derive(Parser, Debug)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Load(load::LoadArgs),
    Channel(channel::ChannelArgs),
    Compare(compare::CompareArgs),
    Dns(dns::DnsArgs),
    Echo(echo::EchoArgs),
    Generate(GenerateArgs),
    Howl(howl::HowlArgs),
    Offload(offload::OffloadArgs),
    Origin(origin::OriginArgs),
    Proxy(proxy::ProxyArgs),
    Collapse(crowd::CollapseArgs),
    Websockets(crowd::WebsocketsArgs),
    Qos(qos::QosArgs),
    Smoke(smoke::SmokeArgs),
    Web(web::WebArgs),
}

/// Writes the documents of a benchmark.
#[derive(Args, Clone, Debug)]
struct GenerateArgs {
    #[command(subcommand)]
    set: DocumentSet,
}

#[derive(Subcommand, Clone, Debug)]
enum DocumentSet {
    /// WebStone's sizes, 64 B to 1 MiB, as DIR/webstone/SIZE.html
    Webstone { dir: PathBuf },
    /// The TCP Servers paper's 128 files of 16 KiB, as DIR/synthetic/NNN
    Synthetic { dir: PathBuf },
    /// SPECweb96's four classes of nine files, as DIR/specweb96/dirNNNNN/classC_F
    Specweb96 {
        dir: PathBuf,
        /// How many directories, 5 MB each
        #[arg(long, value_name = "N", default_value_t = load::DEFAULT_DIRECTORIES, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        directories: u32,
    },
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    match interrupt::install().and_then(|()| run(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("afpa-bench: {error:#}");
            // As a shell reports a program that SIGINT ended.
            if error.is::<interrupt::Interrupted>() { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Load(load) => load.run(),
        Command::Channel(channel) => channel.run(),
        Command::Compare(compare) => compare.run(),
        Command::Dns(dns) => dns.run(),
        Command::Echo(echo) => echo.run(),
        Command::Generate(GenerateArgs { set: DocumentSet::Webstone { dir } }) => fileset::write_webstone(&dir),
        Command::Generate(GenerateArgs { set: DocumentSet::Synthetic { dir } }) => fileset::write_synthetic(&dir),
        Command::Generate(GenerateArgs { set: DocumentSet::Specweb96 { dir, directories } }) => {
            fileset::SpecWeb96 { directories }.write(&dir)
        }
        Command::Howl(howl) => howl.run(),
        Command::Offload(offload) => offload.run(),
        Command::Origin(origin) => origin.run(),
        Command::Proxy(proxy) => proxy.run(),
        Command::Collapse(collapse) => collapse.run(),
        Command::Websockets(websockets) => websockets.run(),
        Command::Qos(qos) => qos.run(),
        Command::Smoke(smoke) => smoke.run(),
        Command::Web(web) => web.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
