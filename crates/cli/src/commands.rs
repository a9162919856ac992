//! What each command does.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use tracing_subscriber::filter::LevelFilter;

use crate::admin::AdminServer;
use crate::args::{Command, Diagnostics, Module, TcpServer, TcpServerCommand, in_flags};
use crate::config::{self, Config, Interface, LogFormat, Transport};
use crate::doctor::Report;
use crate::graph::Graph;
use crate::server::{self, Legacy};
use crate::signals::Signals;
use crate::supervisor::{Engines, Origin, Supervisor};
use crate::upgrade::{Predecessor, Program};
use crate::{capture, explain, lab, offload, process, purge, systemd, tcp_server, top};

/// Does what the command line asks for.
pub fn execute(command: Command) -> ExitCode {
    match command {
        Command::Serve(serve) => run_flags(serve.config(), serve.server.diagnostics),
        Command::Accelerate(accelerate) => run_flags(accelerate.config(), accelerate.server.diagnostics),
        Command::Dns(dns) => run_flags(dns.config(), dns.server.diagnostics),
        Command::Run(file) => match config::load(&file.config) {
            Ok(config) if config.tcp_server.is_some() => refuse(&[format!(
                "{0} is for a TCP server, and one process does one thing; start it with: afpa tcp-server --config {0}",
                file.config.display()
            )]),
            Ok(config) => run(config, Origin::File(file.config), file.diagnostics),
            Err(errors) => refuse(&errors),
        },
        Command::Check(file) => check(&file.config),
        Command::Explain(request) => match explain::execute(&request) {
            Ok(explanation) => {
                print(&explanation.text);
                if explanation.taken { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(errors) => refuse(&errors),
        },
        Command::Graph(graph) => {
            let of = match graph.module {
                Module::Http => Graph::of::<afpa_http::Http>(),
                Module::HttpUpstream => Graph::of::<afpa_http::fetch::Fetch>(),
                Module::Dns => Graph::of::<afpa_dns::Dns>(),
                Module::DnsUpstream => Graph::of::<afpa_dns::Fetch>(),
                Module::SocketProvider => Graph::of::<afpa_tcp_server::SocketProvider>(),
            };
            print(&of.render(graph.format));
            ExitCode::SUCCESS
        }
        Command::Lab(lab) => told(lab::execute(lab.command)),
        Command::Doctor(doctor) => {
            let report = Report::of(doctor.interface.as_deref());
            print(&if doctor.json { report.json() } else { report.text() });
            if report.can_serve() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Command::Top(top) => told(top::execute(&top)),
        Command::Purge(purge) => told(purge::execute(&purge)),
        Command::TcpServer(server) => match server.command {
            Some(TcpServerCommand::Status(status)) => told(tcp_server::status(&status)),
            None => run_tcp_server(&server),
        },
        // Returns only if it fails.
        Command::Offload(offload) => refuse(&[offload::execute(&offload)]),
        Command::Capture(capture) => match capture::execute(&capture) {
            Ok(summary) => {
                complain(&summary);
                ExitCode::SUCCESS
            }
            Err(problem) => refuse(&[problem]),
        },
    }
}

/// Runs what the command line says.
fn run_flags(config: Config, diagnostics: Diagnostics) -> ExitCode {
    let problems = config::problems(&config).into_iter().chain(config::surroundings(&config));
    let problems: Vec<_> = problems.map(|problem| in_flags(&problem)).collect();
    if problems.is_empty() { run(config, Origin::Flags, diagnostics) } else { refuse(&problems) }
}

/// Runs TCP for other processes, as the command line and its file say.
fn run_tcp_server(args: &TcpServer) -> ExitCode {
    let file = match &args.config {
        None => Config::default(),
        Some(path) => match config::load(path) {
            Ok(config) if config.tcp_server.is_some() => config,
            Ok(_) => {
                let path = path.display();
                return refuse(&[format!(
                    "{path} has no section [tcp-server]; run what it has: afpa run --config {path}"
                )]);
            }
            Err(errors) => return refuse(&errors),
        },
    };
    start_diagnostics(args.diagnostics);
    let Config { tcp_server, admin, .. } = args.config(file);
    match tcp_server::run(&tcp_server.unwrap_or_default(), admin, |line| print(&format!("{line}\n"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => refuse(&[problem]),
    }
}

/// What a command has to say: its answer, or what went wrong.
fn told(answer: Result<String, String>) -> ExitCode {
    match answer {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(problem) => refuse(&[problem]),
    }
}

fn check(path: &Path) -> ExitCode {
    match config::load(path) {
        Ok(_) => {
            print(&format!("{}: ok\n", path.display()));
            ExitCode::SUCCESS
        }
        Err(errors) => {
            let code = refuse(&errors);
            let count = if errors.len() == 1 { "1 error".into() } else { format!("{} errors", errors.len()) };
            complain(&format!("{}: {count}", path.display()));
            code
        }
    }
}

fn run(config: Config, origin: Origin, diagnostics: Diagnostics) -> ExitCode {
    start_diagnostics(diagnostics);
    match serve(config, origin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => refuse(&[problem]),
    }
}

/// Starts everything and serves until told to stop.
fn serve(config: Config, origin: Origin) -> Result<(), String> {
    // This changes the environment, so it comes before the first thread.
    let inherited = systemd::inherited().map_err(|error| error.to_string())?;
    let program = Program::of_this_process();
    let mut predecessor = Predecessor::meet()?;
    if let Some(predecessor) = &predecessor {
        check_heritage(&config, predecessor).inspect_err(|reason| predecessor.tell_failed(reason))?;
    }
    let legacy = Legacy::new(inherited, predecessor.as_mut()).map_err(|error| error.to_string())?;
    let runtime = process::main_runtime()?;
    runtime.block_on(async {
        // Signals first: one that arrives while the engines start is obeyed when they have.
        let signals = Signals::listen().map_err(|error| format!("signals cannot be received: {error}"))?;
        let started = server::start(&config, legacy).inspect_err(|reason| {
            predecessor.iter().for_each(|predecessor| predecessor.tell_failed(reason));
        })?;
        let admin = started.admin.map(|socket| AdminServer::new(socket, started.engines.clone())).transpose();
        let admin = admin.map_err(|error| format!("the admin server cannot start: {error}"))?;
        if let Some(predecessor) = &predecessor {
            predecessor.tell_ready(&started.line).map_err(|error| format!("nobody waits for this server: {error}"))?;
            started.engines.own_files(true);
        }
        announce(&started.line, &config);
        let mut supervisor = Supervisor {
            engines: started.engines,
            engine_count: started.engine_count,
            ends: started.ends,
            signals,
            config,
            origin,
            log: started.log,
            admin,
            status: started.line,
            program,
            predecessor,
        };
        let Err(failure) = supervisor.run().await else { return Ok(()) };
        // Not returned: what an engine or a worker that is stuck still holds cannot be taken apart.
        complain(&failure.to_string());
        std::process::exit(1)
    })
}

/// What stays what it is from one server to the next.
///
/// # Errors
/// The configuration wants something else: a sentence.
fn check_heritage(config: &Config, predecessor: &Predecessor) -> Result<(), String> {
    if config.transport == Transport::Direct {
        return Err("the direct transport cannot be begun by an upgrade; stop the running server and start anew".into());
    }
    if config.io != Interface::Auto && config.io != predecessor.io {
        tracing::warn!("io stays {}: to change it, stop the server and start it anew", predecessor.io);
    }
    Ok(())
}

/// One line that says what is served. It goes where it does not break a log of JSON lines.
fn announce(line: &str, config: &Config) {
    if config.log.format == LogFormat::Json && config.log.path.is_none() {
        complain(line);
    } else {
        print(&format!("{line}\n"));
    }
}

fn start_diagnostics(diagnostics: Diagnostics) {
    let level = match diagnostics.verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(level)
        .init();
}

fn refuse<T: ToString>(problems: &[T]) -> ExitCode {
    for problem in problems {
        complain(&problem.to_string());
    }
    ExitCode::FAILURE
}

fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // A reader that has gone away does not want the rest.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "afpa: {line}");
}
