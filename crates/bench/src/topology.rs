//! The fair topology: two network namespaces joined by a virtual cable, the server's end and all
//! its work on one CPU, the client's on another.
//!
//! ```text
//!   server namespace, CPU 0             client namespace, CPU 1
//!   10.99.0.1 ── veth ───────────────── veth ── 10.99.0.2
//!   NAPI kernel thread                  NAPI kernel thread
//! ```
//!
//! Received packets are processed by each end's NAPI kernel thread, pinned, so that the cost of
//! receiving falls on the side that receives. Names carry this process's id; what a process that
//! no longer lives left behind is removed first.

use crate::affinity;
use crate::command;
use crate::interrupt;
use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The server's address.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The client's address.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// What the names of namespaces and temporary directories begin with.
const PREFIX: &str = "afpa-bench-";

/// The two namespaces; removed when dropped, with all that runs in them.
#[derive(Debug)]
pub(crate) struct Topology {
    /// Where the server runs.
    pub(crate) server: End,
    /// Where the client runs.
    pub(crate) client: End,
    /// The kernel's congestion control at both ends.
    pub(crate) congestion: String,
    directory: PathBuf,
}

/// What the cable is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cable<'a> {
    /// The kernel's congestion control at both ends.
    pub(crate) congestion: &'a str,
    /// The largest packet, in octets.
    pub(crate) mtu: u16,
    /// Packets that the queue at each end holds, if there is one.
    pub(crate) queue: Option<u32>,
    /// Whether large segments cross it whole (TSO).
    pub(crate) offloads: bool,
}

/// One end of the cable.
#[derive(Debug)]
pub(crate) struct End {
    namespace: String,
    /// Its end of the cable.
    pub(crate) device: String,
    /// The CPU on which everything of this end runs.
    pub(crate) core: usize,
}

impl Topology {
    /// Builds it.
    ///
    /// # Errors
    /// Not root, fewer than two CPUs, a tool is missing, or the kernel refuses something.
    pub(crate) fn build(cable: Cable<'_>) -> Result<Topology> {
        if !rustix::process::geteuid().is_root() {
            bail!(
                "network namespaces need root: run this as root, or use `afpa-bench load` against a server of your own"
            );
        }
        for tool in ["ip", "ethtool", "sysctl", "taskset"] {
            command::find(tool).with_context(|| format!("{tool} is not installed"))?;
        }
        remove_leftovers();
        let id = std::process::id();
        let end = |side: &str, core| End {
            namespace: format!("{PREFIX}{id}-{side}"),
            // Short enough for its kernel thread's name, of which 15 octets are kept.
            device: format!("{}{id}", &side[..1]),
            core,
        };
        let directory = std::env::temp_dir().join(format!("{PREFIX}{id}"));
        // From here on dropping the value removes what there is of it.
        let (server, client) = (end("server", 0), end("client", 1));
        let topology = Topology { server, client, congestion: cable.congestion.to_owned(), directory };
        topology.raise(cable)?;
        Ok(topology)
    }

    /// A directory of its own, removed with it.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn raise(&self, cable: Cable<'_>) -> Result<()> {
        let Topology { server, client, directory, .. } = self;
        fs::create_dir(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        for end in [server, client] {
            ip(["netns", "add", &end.namespace])?;
        }
        let (near, far) = (&server.device, &client.device);
        let netns = &server.namespace;
        ip(["-n", netns, "link", "add", near, "type", "veth", "peer", "name", far, "netns", &client.namespace])?;
        server.raise(SERVER, cable)?;
        client.raise(CLIENT, cable)?;
        if let Some(packets) = cable.queue {
            [server, client].into_iter().try_for_each(|end| end.queue(packets))?;
        }
        // Connections per request use up ports fast; the server's TIME-WAITs are no reason to wait.
        client.sysctl("net.ipv4.ip_local_port_range=1024 65535")?;
        client.sysctl("net.ipv4.tcp_tw_reuse=1")?;
        [server, client].into_iter().try_for_each(End::pin_napi)
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        for end in [&self.client, &self.server] {
            remove_namespace(&end.namespace);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl End {
    /// A command that runs `program` in this end's namespace on this end's CPU.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.command_on(self.core, program)
    }

    /// A command that runs `program` in this end's namespace on another CPU.
    pub(crate) fn command_on(&self, core: usize, program: impl AsRef<OsStr>) -> Command {
        self.command_among(&[core], program)
    }

    /// A command that runs `program` in this end's namespace on some CPUs.
    pub(crate) fn command_among(&self, cores: &[usize], program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "taskset", "-c", &affinity::list(cores)]).arg(program);
        command
    }

    /// The processes that run here.
    ///
    /// # Errors
    /// `ip` failed.
    pub(crate) fn processes(&self) -> Result<Vec<u32>> {
        Ok(ip(["netns", "pids", &self.namespace])?.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// How long the threads of this end have run: those of its processes, and those that receive for it. Unlike the
    /// core's busy time it leaves out what other programs do there, and interrupts.
    ///
    /// # Errors
    /// `ip` failed.
    pub(crate) fn run_time(&self) -> Result<Duration> {
        let processes = self.processes()?.into_iter().map(|id| Path::new("/proc").join(id.to_string()).join("task"));
        // One that ends meanwhile has no threads any more.
        let threads =
            processes.filter_map(|tasks| fs::read_dir(tasks).ok()).flatten().flatten().map(|task| task.path());
        Ok(Duration::from_nanos(threads.map(|thread| run_nanoseconds(&thread)).sum()) + self.receiving_time())
    }

    /// How long the kernel threads have run that receive for this end.
    pub(crate) fn receiving_time(&self) -> Duration {
        let receiving = kernel_threads(&format!("napi/{}-", self.device)).into_iter();
        let receiving = receiving.map(|thread| Path::new("/proc").join(thread.as_raw_nonzero().to_string()));
        Duration::from_nanos(receiving.map(|thread| run_nanoseconds(&thread)).sum())
    }

    /// Has packets for this end received on other CPUs than its own.
    ///
    /// # Errors
    /// There is no such CPU.
    pub(crate) fn receive_on(&self, cores: &[usize]) -> Result<()> {
        let threads = kernel_threads(&format!("napi/{}-", self.device));
        threads.into_iter().try_for_each(|thread| affinity::confine(Some(thread), cores))
    }

    fn raise(&self, address: Ipv4Addr, cable: Cable<'_>) -> Result<()> {
        let Cable { congestion, mtu, offloads, .. } = cable;
        let End { namespace, device, .. } = self;
        ip(["-n", namespace, "address", "add", &format!("{address}/24"), "dev", device])?;
        ip(["-n", namespace, "link", "set", "lo", "up"])?;
        ip(["-n", namespace, "link", "set", device, "mtu", &mtu.to_string(), "up"])?;
        self.sysctl(&format!("net.ipv4.tcp_congestion_control={congestion}"))
            .with_context(|| format!("a namespace may not choose the congestion control {congestion}, see net.ipv4.tcp_allowed_congestion_control"))?;
        self.sysctl("net.core.somaxconn=8192")?;
        self.sysctl("net.ipv4.tcp_max_syn_backlog=8192")?;
        // On veth, NAPI exists only while GRO is on, and the other end's NAPI receives what this end
        // sends only while TSO is off; otherwise the sender's CPU pays for the receiver's TCP. The
        // kernel still cuts large segments as late as it can (GSO). With a program for XDP at the other end, NAPI
        // receives either way.
        self.run(["ethtool", "-K", device, "gro", "on", "tso", if offloads { "on" } else { "off" }])?;
        // sysfs shows the devices of the namespace in which it was mounted, hence the shell in there.
        self.run(["sh", "-c", &format!("echo 1 > /sys/class/net/{device}/threaded")]).map(drop)
    }

    /// On veth, a sender whose peer's ring is full waits only if the device has a queue: without one, the packet
    /// is lost, and AF_XDP's frames, too.
    fn queue(&self, packets: u32) -> Result<()> {
        let limit = packets.to_string();
        self.run(["tc", "qdisc", "replace", "dev", &self.device, "root", "pfifo", "limit", &limit]).map(drop)
    }

    fn sysctl(&self, setting: &str) -> Result<()> {
        self.run(["sysctl", "-qw", setting]).map(drop)
    }

    fn run<const N: usize>(&self, command: [&str; N]) -> Result<String> {
        ip(["netns", "exec", &self.namespace].into_iter().chain(command))
    }

    /// Pins the kernel threads that poll this end's device.
    fn pin_napi(&self) -> Result<()> {
        let prefix = format!("napi/{}-", self.device);
        let threads = interrupt::wait_for(Duration::from_secs(2), || {
            let threads = kernel_threads(&prefix);
            Ok((!threads.is_empty()).then_some(threads))
        })?;
        let threads =
            threads.with_context(|| format!("the kernel started no thread {prefix}*: is threaded NAPI supported?"))?;
        threads.into_iter().try_for_each(|thread| affinity::pin(Some(thread), self.core))
    }
}

/// The threads whose name begins with `prefix`, of which the kernel keeps 15 octets.
fn kernel_threads(prefix: &str) -> Vec<Pid> {
    let prefix = &prefix[..prefix.len().min(15)];
    processes().filter(|(_, directory)| read(&directory.join("comm")).starts_with(prefix)).map(|(id, _)| id).collect()
}

/// How long the thread with that directory in /proc has run.
pub(crate) fn run_nanoseconds(thread: &Path) -> u64 {
    let times = read(&thread.join("schedstat"));
    times.split_ascii_whitespace().next().and_then(|time| time.parse().ok()).unwrap_or_default()
}

fn processes() -> impl Iterator<Item = (Pid, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?, entry.path())))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Removes what earlier runs left behind because they were killed, and only that: the owner named
/// by it must be gone.
fn remove_leftovers() {
    for line in ip(["netns", "list"]).unwrap_or_default().lines() {
        if let Some(name) = line.split(' ').next().filter(|name| is_leftover(name)) {
            remove_namespace(name);
        }
    }
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_leftover) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether `name` is one of ours whose owner is gone.
fn is_leftover(name: &str) -> bool {
    owner(name).is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists())
}

/// The process that made the namespace or the directory `name`.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Ends what runs in the namespace, which is ours alone, and removes it; the cable goes with it.
fn remove_namespace(name: &str) {
    for line in ip(["netns", "pids", name]).unwrap_or_default().lines() {
        if let Some(id) = line.parse().ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        }
    }
    // It may never have been made.
    let _ = ip(["netns", "delete", name]);
}

fn ip<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<String> {
    command::output("ip", arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_who_owns_them() {
        assert_eq!(owner("afpa-bench-123-server"), Some(123));
        assert_eq!(owner("afpa-bench-123"), Some(123));
        for foreign in ["afpa-bench-", "afpa-bench-x-server", "other-123", "afpa-bench--1"] {
            assert_eq!(owner(foreign), None, "{foreign}");
        }
        assert!(!is_leftover(&format!("afpa-bench-{}-server", std::process::id())));
        assert!(is_leftover("afpa-bench-4294967295-server"));
    }

    /// Needs root: skipped, and said so, otherwise.
    #[test]
    fn it_comes_up_carries_packets_and_goes() {
        if !rustix::process::geteuid().is_root() || command::find("ethtool").is_none() {
            eprintln!("skipped: needs root, ip and ethtool");
            return;
        }
        let topology =
            Topology::build(Cable { congestion: "reno", mtu: 9000, queue: Some(1000), offloads: false }).unwrap();
        let namespace = topology.server.namespace.clone();
        let control = topology.client.run(["sysctl", "-n", "net.ipv4.tcp_congestion_control"]).unwrap();
        assert_eq!(control.trim(), "reno");
        for end in [&topology.server, &topology.client] {
            let threads = kernel_threads(&format!("napi/{}-", end.device));
            assert!(!threads.is_empty());
            for thread in threads {
                let status = read(&Path::new("/proc").join(thread.as_raw_nonzero().to_string()).join("status"));
                assert!(status.contains(&format!("Cpus_allowed_list:\t{}\n", end.core)), "{status}");
            }
        }
        // No process runs there yet.
        let worked = |end: &End| end.run_time().unwrap();
        let before = [&topology.server, &topology.client].map(worked);
        let neighbour = format!("echo > /dev/tcp/{SERVER}/9");
        let refused = topology.client.command("bash").args(["-c", &neighbour]).output().unwrap();
        assert!(String::from_utf8_lossy(&refused.stderr).contains("refused"), "{refused:?}");
        for (end, before) in [&topology.server, &topology.client].into_iter().zip(before) {
            assert!(worked(end) > before, "{} received on another thread than its own", end.namespace);
        }
        let directory = topology.directory().to_owned();
        let sleeper = command::Running::start(topology.server.command("sleep").arg("1000")).unwrap();
        // It enters the namespace on its own, a moment after it is started.
        until(|| topology.server.processes().unwrap() == [sleeper.id()]);
        let received = topology.server.receiving_time();
        assert!(worked(&topology.server) > received, "the sleeper's start counts, too");
        drop((sleeper, topology));
        assert!(!directory.exists() && !ip(["netns", "list"]).unwrap().contains(&namespace));
    }

    /// Waits for what has to come; too long a wait means that it never does.
    fn until(mut come: impl FnMut() -> bool) {
        for _ in 0..1000 {
            if come() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("did not come within ten seconds");
    }
}
