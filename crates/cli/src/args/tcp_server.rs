//! `afpa tcp-server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Diagnostics;
use crate::config::tcp_server::{Active, Directions, Mode, Notify, Provider, RING};
use crate::config::{Admin, Config, Cores, Frames, Interface};
use crate::units::{Malformed, Size, Span};

pub(super) const EXAMPLES: &str = "\
Applications attach at the socket: those that are written for it, and any that are started with
afpa offload. Their TCP runs here, on the cores of --cores, and not on theirs.

Without --socket it is /run/afpa/tcp-server.sock for root, $XDG_RUNTIME_DIR/afpa-tcp-server.sock
for others. Who may open that file may attach; see --mode.

A configuration has the same settings in the section [tcp-server], and what applications may use in
[tcp-server.limits]: see afpa.toml, which comes with the program. afpa check finds its errors.

Examples:
  afpa tcp-server --cores 3                       one engine, on CPU 3
  afpa tcp-server --cores 2-3 --notify poll       two engines that never sleep
  afpa tcp-server --cores 1-3 --active 1-3        as many of three as there is work for
  afpa tcp-server --admin 127.0.0.1:9090          with metrics
  afpa tcp-server --provider direct --interface eth0   our own TCP for what comes through eth0
  afpa tcp-server --cores 2-3 --interface eth0    the kernel receives for eth0 on these cores, too
  afpa tcp-server --config FILE                   as a configuration says
  afpa tcp-server status                          who is attached, and how busy engines are
  afpa offload -- nginx -g 'daemon off;'          a program whose TCP it runs";

/// `afpa tcp-server`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TcpServer {
    /// Something else than to run it.
    #[command(subcommand)]
    pub command: Option<TcpServerCommand>,
    /// A configuration with a section [tcp-server]; what is said here goes before what is said there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where applications attach: a Unix socket's path
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Who may attach, as chmod has it [default: 660]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// CPUs that get an engine each, as taskset writes them: 0 or 0,2-3; all: every CPU that the process may use
    /// [default: all]
    #[arg(long, value_name = "LIST")]
    pub cores: Option<Cores>,
    /// How many engines accept connections, or from how many to how many, as load asks for: 2 or 1-3 [default: all]
    #[arg(long, value_name = "MIN[-MAX]")]
    pub active: Option<Active>,
    /// Whose TCP it is: the kernel's (kernel), or our own on the frames of an interface (direct) [default: kernel]
    #[arg(long)]
    pub provider: Option<Provider>,
    /// The interface of the provider direct: what is not for an application's listeners stays with the kernel. With the
    /// provider kernel: one whose packets the kernel receives on the engines' cores, by threads (threaded NAPI)
    #[arg(long, value_name = "IF")]
    pub interface: Option<String>,
    /// How its frames are taken: xdp (AF_XDP), packet (AF_PACKET rings), or auto (the first that works) [default: auto]
    #[arg(long, value_name = "WAY")]
    pub frames: Option<Frames>,
    /// How many of its queues get an engine of their own [default: all, as far as there are engines]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub queues: Option<u32>,
    /// Memory for applications to register that is sent from where they wrote it; 0: what they register is copied once
    /// [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub registered_memory: Option<Size>,
    /// System interface: uring, epoll, or auto (uring where the kernel allows it) [default: auto]
    #[arg(long, value_name = "IO")]
    pub io: Option<Interface>,
    /// How engines learn of work: they never sleep (poll), they sleep when there is nothing and are rung (interrupt), or
    /// they look for as long as that has paid off and sleep then (adaptive) [default: adaptive]
    #[arg(long)]
    pub notify: Option<Notify>,
    /// Which directions run here: both (send+receive), or what is received (receive), and applications send by themselves
    /// [default: send+receive]
    #[arg(long)]
    pub offload: Option<Directions>,
    /// How many connections are accepted on each engine ahead of an application's accept, per listener [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub eager_accept: Option<u32>,
    /// How many octets of a connection are received ahead of an application's read [default: as many as --ring]
    #[arg(long, value_name = "SIZE")]
    pub eager_receive: Option<Size>,
    /// Sockets of one application [default: 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(32..=65_536))]
    pub slots: Option<u32>,
    /// Memory for each direction of a socket, from 4KiB to 1MiB [default: 64KiB]
    #[arg(long, value_name = "SIZE", value_parser = ring)]
    pub ring: Option<Size>,
    /// Answer health checks and metrics at this address; off by default
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// Allow --admin at an address that other machines can reach
    #[arg(long, requires = "admin")]
    pub admin_allow_remote: bool,
    /// How long what is queued may take to be sent when the server stops [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub grace_period: Option<Span>,
    /// What the server says on standard error
    #[command(flatten)]
    pub diagnostics: Diagnostics,
}

/// Something else than to run a TCP server.
#[derive(Debug, Subcommand)]
pub enum TcpServerCommand {
    /// Show who is attached to a running server, and how busy its engines are
    Status(TcpServerStatus),
}

/// `afpa tcp-server status`.
#[derive(Debug, Args)]
pub struct TcpServerStatus {
    /// Where applications attach
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

impl TcpServer {
    /// The configuration that the flags stand for, where `file` has what they do not say.
    pub fn config(&self, file: Config) -> Config {
        let mut server = file.tcp_server.unwrap_or_default();
        put(&mut server.mode, &self.mode);
        put(&mut server.cores, &self.cores);
        put(&mut server.provider, &self.provider);
        put(&mut server.frames, &self.frames);
        put(&mut server.io, &self.io);
        put(&mut server.notify, &self.notify);
        put(&mut server.offload, &self.offload);
        put(&mut server.eager_accept, &self.eager_accept);
        put(&mut server.slots, &self.slots);
        put(&mut server.ring, &self.ring);
        put(&mut server.grace_period, &self.grace_period);
        server.socket = self.socket.clone().or(server.socket);
        server.active = self.active.or(server.active);
        server.queues = self.queues.or(server.queues);
        server.registered_memory = self.registered_memory.or(server.registered_memory);
        server.interface = self.interface.clone().or(server.interface);
        server.eager_receive = self.eager_receive.or(server.eager_receive);
        let admin = self.admin.map(|listen| Admin { listen, allow_remote: self.admin_allow_remote });
        Config { tcp_server: Some(server), admin: admin.or(file.admin), ..file }
    }
}

fn put<T: Clone>(into: &mut T, told: &Option<T>) {
    if let Some(value) = told {
        into.clone_from(value);
    }
}

fn ring(text: &str) -> Result<Size, String> {
    let size: Size = text.parse().map_err(|error: Malformed| error.to_string())?;
    let (least, most) = (RING.start(), RING.end());
    if RING.contains(&size) { Ok(size) } else { Err(format!("expected a size from {least} to {most}, found {size}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::args::{Command, parse};
    use crate::config::{self, tcp_server::TcpServer};

    fn config(file: &str, arguments: &[&str]) -> Config {
        match parse("tcp-server", arguments) {
            Ok(Command::TcpServer(server)) => server.config(config::parse(file).config),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_flags_it_means_the_defaults_or_what_the_file_says() {
        let defaults = Config { tcp_server: Some(TcpServer::default()), ..Config::default() };
        assert_eq!(config("", &[]), defaults);
        let text = "[tcp-server]\nmode='600'\ncores='1'\nlimits.applications=3\n[admin]\nlisten='127.0.0.1:9090'\n";
        assert_eq!(config(text, &["--config", "x"]), config::parse(text).config);
    }

    #[test]
    fn each_flag_goes_before_the_file() {
        let file = "\
            [tcp-server]\nsocket='/a'\nmode='600'\ncores='1'\nprovider='kernel'\nio='uring'\nnotify='interrupt'\n\
            eager-accept=1\neager-receive=1\nslots=64\nring='8KiB'\ngrace-period='1s'\nlimits.files=9\n\
            [admin]\nlisten='127.0.0.1:9090'\n";
        let flags = [
            "--socket=/b",
            "--mode=666",
            "--cores=2",
            "--provider=direct",
            "--interface=lab0",
            "--active=1-2",
            "--frames=packet",
            "--queues=3",
            "--registered-memory=8MiB",
            "--io=epoll",
            "--notify=poll",
            "--offload=receive",
            "--eager-accept=2",
            "--eager-receive=2",
            "--slots=96",
            "--ring=16KiB",
            "--grace-period=2s",
            "--admin=192.0.2.1:1",
            "--admin-allow-remote",
        ];
        let found = config(file, &flags);
        let expected = TcpServer {
            socket: Some("/b".into()),
            mode: Mode(0o666),
            cores: Cores::List(vec![2]),
            provider: Provider::Direct,
            interface: Some("lab0".into()),
            active: Some(Active { min: 1, max: 2 }),
            frames: Frames::Packet,
            queues: Some(3),
            registered_memory: Some(Size::mib(8)),
            io: Interface::Epoll,
            notify: Notify::Poll,
            offload: Directions::Receive,
            eager_accept: 2,
            eager_receive: Some(Size(2)),
            slots: 96,
            ring: Size::kib(16),
            grace_period: Span::seconds(2),
            limits: afpa_tcp_server::Limits { files: 9, ..Default::default() },
        };
        assert_eq!(found.tcp_server, Some(expected));
        assert_eq!(found.admin, Some(Admin { listen: "192.0.2.1:1".parse().unwrap(), allow_remote: true }));
    }
}
