//! `afpa-bench proxy`: one accelerator, set up as for a comparison, in front of an origin on this machine.

use crate::interrupt;
use crate::peers::{BACKEND_PORT, PORT, Places};
use crate::proxies::PROXIES;
use crate::server;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How often it is looked whether the accelerator still runs.
const STEP: Duration = Duration::from_millis(200);

/// Runs an accelerator in front of an origin on this machine, set up as for `compare --role accelerate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProxyArgs {
    /// Which: nginx, haproxy, haproxy-classes, varnish, afpa
    name: String,
    /// Where to listen
    #[arg(long, default_value_t = SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT))]
    listen: SocketAddrV4,
    /// The origin's port, on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = BACKEND_PORT)]
    origin: u16,
    /// The interface that has the address to listen on, for afpa-direct
    #[arg(long, value_name = "IF", default_value = "lo")]
    interface: String,
    /// Our server's program [default: afpa, beside this one]
    #[arg(long, value_name = "PATH")]
    afpa: Option<PathBuf>,
    /// Further arguments for the accelerator
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl ProxyArgs {
    /// Runs it until interrupted.
    ///
    /// # Errors
    /// It is not there, does not come up, or ends.
    pub(crate) fn run(&self) -> Result<()> {
        let names = || PROXIES.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
        let peer = PROXIES.iter().find(|peer| peer.name == self.name);
        let peer = peer.with_context(|| format!("{}: not one of {}", self.name, names()))?;
        let beside = std::env::current_exe().context("cannot find this program")?.with_file_name("afpa");
        let program = peer.path(self.afpa.as_deref().unwrap_or(&beside));
        let mut command = Command::new(program.with_context(|| format!("{} is not installed", peer.name))?);
        let directory = Directory::create()?;
        let (address, port) = (self.listen.ip().to_string(), self.listen.port());
        let places = Places {
            root: &directory.0,
            run: &directory.0,
            address: &address,
            device: &self.interface,
            congestion: "reno",
            port,
            backend: self.origin,
        };
        server::prepare(peer, &places, &mut command)?;
        command.args(&self.arguments);
        crate::compare::allow_descriptors(0)?;
        let log = directory.0.join("output");
        let mut running = server::start(command, &log, peer.ready, *self.listen.ip(), port).context(peer.name)?;
        println!("{} listens on {}", peer.name, self.listen);
        loop {
            interrupt::sleep(STEP)?;
            if let Some(status) = running.ended()? {
                bail!("{} ended ({status}): {}", peer.name, fs::read_to_string(&log).unwrap_or_default().trim());
            }
        }
    }
}

/// A directory for this run, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn create() -> Result<Directory> {
        let path = std::env::temp_dir().join(format!("afpa-proxy-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all::<&Path>(&self.0);
    }
}
