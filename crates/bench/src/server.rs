//! A server of the comparison, while it runs in its namespace.

use crate::command::Running;
use crate::interrupt;
use crate::origin::Counts;
use crate::peers::{BACKEND_PORT, Origin, PORT, Peer, Places};
use crate::topology::{self, Topology};
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(20);

/// A server that listens; it is stopped, with its origin, when dropped.
#[derive(Debug)]
pub(crate) struct Server<'t> {
    topology: &'t Topology,
    // The server is stopped before its origin.
    _running: Running,
    origin: Option<Running>,
    run: PathBuf,
}

impl<'t> Server<'t> {
    /// Starts `peer` for the documents under `root` and waits until it listens.
    ///
    /// # Errors
    /// It is not installed, or did not come up: the error holds what it said.
    pub(crate) fn start(topology: &'t Topology, peer: &Peer, root: &Path, afpa: &Path) -> Result<Server<'t>> {
        let program = peer.path(afpa).with_context(|| format!("{} is not installed", peer.name))?;
        let run = topology.directory().join(peer.name);
        fs::create_dir_all(&run).with_context(|| format!("cannot create {}", run.display()))?;
        let address = topology::SERVER.to_string();
        let (device, congestion) = (&topology.server.device, &topology.congestion);
        let (port, backend) = (PORT, BACKEND_PORT);
        let places = Places { root, run: &run, address: &address, device, congestion, port, backend };
        let origin = peer.origin.map(|origin| start_origin(topology, origin, root, &run)).transpose()?;
        let mut command = topology.server.command(program);
        prepare(peer, &places, &mut command)?;
        let running = start(command, &run.join("output"), peer.ready, topology::SERVER, PORT);
        let running = running.with_context(|| peer.name)?;
        Ok(Server { topology, _running: running, origin, run })
    }

    /// The memory of its processes in octets: the proportional set size, in which a page that
    /// several processes share counts once.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn memory(&self) -> Result<u64> {
        let origin = self.origin.as_ref().map(Running::id);
        let processes = self.topology.server.processes()?;
        let own = processes.into_iter().filter(|id| Some(*id) != origin);
        // One that ends meanwhile has no memory any more.
        Ok(memory_of(own))
    }

    /// What the origin behind it has counted, if it counts.
    ///
    /// # Errors
    /// It does not say.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = self.topology.server.command_on(self.topology.client.core, program);
        let address = format!("{}:{BACKEND_PORT}", Ipv4Addr::LOCALHOST);
        let output = command.args(["origin", "--ask", &address]).output().context("cannot ask the origin")?;
        if !output.status.success() {
            bail!("the origin: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("the origin's counts")
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.run);
    }
}

/// Writes the files of `peer` and adds its arguments to `command`.
///
/// # Errors
/// The file system refused.
pub(crate) fn prepare(peer: &Peer, places: &Places<'_>, command: &mut Command) -> Result<()> {
    for (name, contents) in peer.files {
        fs::write(places.run.join(name), places.fill(contents)).with_context(|| format!("cannot write {name}"))?;
    }
    command.args(peer.arguments.iter().chain(peer.options).map(|argument| places.fill(argument)));
    Ok(())
}

fn start_origin(topology: &Topology, origin: Origin, root: &Path, run: &Path) -> Result<Running> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let listen = format!("{}:{BACKEND_PORT}", Ipv4Addr::LOCALHOST);
    let mut command;
    match origin {
        Origin::Documents => {
            command = topology.server.command(program);
            command.args(["howl", "loop"]).arg(root).args(["--origin", "--listen", &listen]);
        }
        // Its cost is not the server's.
        Origin::Resources => {
            command = topology.server.command_on(topology.client.core, program);
            command.args(["origin", "--listen", &listen]);
        }
    }
    start(command, &run.join("origin"), "", Ipv4Addr::LOCALHOST, BACKEND_PORT).context("the origin")
}

/// Starts `command`, with its output in the file `log`, and waits until it listens and has said `words`.
///
/// # Errors
/// It did not, or ended: the error holds what it said.
pub(crate) fn start(mut command: Command, log: &Path, words: &str, address: Ipv4Addr, port: u16) -> Result<Running> {
    let output = fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let errors = output.try_clone().context("cannot share the log")?;
    let mut running = Running::start(command.stdout(Stdio::from(output)).stderr(Stdio::from(errors)))?;
    let said = || fs::read_to_string(log).unwrap_or_default();
    let sockets = PathBuf::from(format!("/proc/{}/net/tcp", running.id()));
    let ready = interrupt::wait_for(START, || {
        if let Some(status) = running.ended()? {
            bail!("ended at once ({status}): {}", said().trim());
        }
        let listens = fs::read_to_string(&sockets).is_ok_and(|table| is_listening(&table, address, port));
        Ok((listens && said().contains(words)).then_some(()))
    })?;
    ready.with_context(|| format!("does not listen on {address}:{port} after {START:?}: {}", said().trim()))?;
    Ok(running)
}

/// Whether /proc/net/tcp shows a socket that listens there.
fn is_listening(table: &str, address: Ipv4Addr, port: u16) -> bool {
    listening(table, address, port).next().is_some()
}

/// The inodes of the sockets that listen there, by /proc/net/tcp. The kernel prints the address as a native number of
/// its octets in network order.
fn listening(table: &str, address: Ipv4Addr, port: u16) -> impl Iterator<Item = &str> {
    let local = format!("{:08X}:{port:04X}", u32::from_ne_bytes(address.octets()));
    table.lines().filter_map(move |line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let listens = words.next() == Some(&local) && words.nth(1) == Some("0A");
        if listens { words.nth(5) } else { None }
    })
}

/// The processes that listen on `address`, also as one of all addresses.
///
/// # Errors
/// The address is not of IPv4, or there is no /proc.
pub(crate) fn listeners(address: SocketAddr) -> Result<Vec<u32>> {
    let SocketAddr::V4(address) = address else { bail!("who listens on {address} is only known with IPv4") };
    let table = fs::read_to_string("/proc/self/net/tcp").context("cannot read /proc/self/net/tcp")?;
    let addresses = [*address.ip(), Ipv4Addr::UNSPECIFIED];
    let inodes = addresses.iter().flat_map(|ip| listening(&table, *ip, address.port()));
    let sockets: Vec<_> = inodes.map(|inode| PathBuf::from(format!("socket:[{inode}]"))).collect();
    let processes = fs::read_dir("/proc").context("cannot read /proc")?.flatten();
    let holds = |process: &Path| {
        // One that ends meanwhile holds nothing any more.
        let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        links.any(|link| sockets.contains(&link))
    };
    let id = |process: fs::DirEntry| process.file_name().to_str()?.parse().ok().filter(|_| holds(&process.path()));
    Ok(processes.filter_map(id).collect())
}

/// The memory of these processes in octets, as [`Server::memory`] counts it.
pub(crate) fn memory_of(processes: impl IntoIterator<Item = u32>) -> u64 {
    let rollup = |id| fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok();
    processes.into_iter().filter_map(|id| parse_pss(&rollup(id)?)).sum()
}

/// The octets on the line `Pss: N kB`.
pub(crate) fn parse_pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listening_socket_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let table = || fs::read_to_string("/proc/self/net/tcp").unwrap();
        assert!(is_listening(&table(), Ipv4Addr::LOCALHOST, port));
        assert!(!is_listening(&table(), Ipv4Addr::new(127, 0, 0, 2), port));
        drop(listener);
        assert!(!is_listening(&table(), Ipv4Addr::LOCALHOST, port));
    }

    #[test]
    fn pss_is_in_kilobytes() {
        assert_eq!(parse_pss("00-ff ---p [rollup]\nRss:  9 kB\nPss:     3 kB\nPss_Anon: 1 kB\n"), Some(3072));
        assert_eq!(parse_pss("Rss: 9 kB\n"), None);
    }
}
