//! Network namespaces and the cables between them, for as long as a test lasts.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The cable, at both ends.
pub(crate) const DEVICE: &str = "lab0";
pub(crate) const SERVER: &str = "10.77.0.1";
pub(crate) const SERVER_V6: &str = "fd77::1";
pub(crate) const CLIENT: &str = "10.77.0.2";
/// How frames are taken and given.
pub(crate) const FRAMES: [&str; 2] = ["xdp", "packet"];
/// The port that the server serves.
pub(crate) const PORT: u16 = 8080;

/// A server's namespace, a client's, and what lies between.
pub(crate) struct Lab {
    pub(crate) server: Namespace,
    pub(crate) client: Namespace,
    _middle: Option<Namespace>,
}

impl Lab {
    /// A cable from the server to the client; `None` if this machine cannot have one.
    pub(crate) fn cable(test: &str) -> Option<Lab> {
        Lab::cable_of(test, "1")
    }

    /// One whose ends have so many queues each, over which the kernel spreads connections.
    pub(crate) fn cable_of(test: &str, queues: &str) -> Option<Lab> {
        let lab = Lab::namespaces(test, false)?;
        let Namespace { name: client } = &lab.client;
        let queues = ["numrxqueues", queues, "numtxqueues", queues];
        let (add, peer) = (["link", "add", DEVICE], ["type", "veth", "peer", "name", DEVICE, "netns", client]);
        lab.server.ip(&[&add[..], &queues, &peer, &queues].concat());
        lab.client.address(DEVICE, &format!("{CLIENT}/24"), Some("fd77::2/64"));
        lab.finish()
    }

    /// A cable from the server to a bridge, whose other port is [`FAR`], a TAP device of the bridge's namespace.
    /// The client's end is one, too: see [`Relay`](crate::relay::Relay).
    pub(crate) fn cut_in_the_middle(test: &str) -> Option<(Lab, Namespace)> {
        let mut lab = Lab::namespaces(test, true)?;
        let middle = lab._middle.take().unwrap();
        let Namespace { name } = &middle;
        lab.server.ip(&["link", "add", DEVICE, "type", "veth", "peer", "name", "near", "netns", name]);
        middle.ip(&["link", "add", "name", "bridge0", "type", "bridge"]);
        for device in ["near", "bridge0"] {
            middle.ip(&["link", "set", device, "up"]);
        }
        middle.ip(&["link", "set", "near", "master", "bridge0"]);
        Some((lab.finish()?, middle))
    }

    /// A router between the server and the client, 10.78.0.2; packets of up to `mtu` octets fit between the
    /// router and the client, of which neither the server nor the client knows.
    pub(crate) fn routed(test: &str, mtu: u16) -> Option<Lab> {
        let lab = Lab::namespaces(test, true)?;
        let middle = lab._middle.as_ref().unwrap();
        let Namespace { name: router } = middle;
        lab.server.ip(&["link", "add", DEVICE, "type", "veth", "peer", "name", "near", "netns", router]);
        lab.client.ip(&["link", "add", DEVICE, "type", "veth", "peer", "name", "far", "netns", router]);
        middle.address("near", "10.77.0.254/24", Some("fd77::fe/64"));
        middle.address("far", "10.78.0.254/24", Some("fd78::fe/64"));
        middle.ip(&["link", "set", "far", "mtu", &mtu.to_string()]);
        middle.shell("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        lab.client.address(DEVICE, "10.78.0.2/24", Some("fd78::2/64"));
        lab.client.ip(&["route", "add", "default", "via", "10.78.0.254"]);
        if has_ipv6() {
            lab.client.ip(&["-6", "route", "add", "default", "via", "fd78::fe"]);
        }
        let lab = lab.finish()?;
        lab.server.ip(&["route", "add", "default", "via", "10.77.0.254"]);
        if has_ipv6() {
            lab.server.ip(&["-6", "route", "add", "default", "via", "fd77::fe"]);
        }
        Some(lab)
    }

    /// Where the server serves.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(SERVER.parse().unwrap(), PORT)
    }

    /// Where it serves over IPv6, if this machine has that.
    pub(crate) fn address_v6(&self) -> Option<SocketAddr> {
        has_ipv6().then(|| SocketAddr::new(SERVER_V6.parse().unwrap(), PORT))
    }

    fn namespaces(test: &str, with_middle: bool) -> Option<Lab> {
        if let Some(reason) = obstacle() {
            skip(&reason);
            return None;
        }
        let add = |end: &str| Namespace::add(&format!("afpa-e2e-{}-{test}-{end}", std::process::id()));
        Some(Lab { server: add("server"), client: add("client"), _middle: with_middle.then(|| add("middle")) })
    }

    /// Gives the server its addresses, and asks the doctor whether the direct transport works there.
    fn finish(self) -> Option<Lab> {
        self.server.address(DEVICE, &format!("{SERVER}/24"), Some("fd77::1/64"));
        let mut doctor = self.server.command(env!("CARGO_BIN_EXE_afpa"));
        let output = doctor.args(["doctor", "--interface", DEVICE, "--json"]).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        if report["direct"]["xdp"] != true {
            skip(&format!("the doctor finds no AF_XDP: {report}"));
            return None;
        }
        Some(self)
    }
}

/// A network namespace, removed with this.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    fn add(name: &str) -> Namespace {
        let output = Command::new("ip").args(["netns", "add", name]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let namespace = Namespace { name: name.to_owned() };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// Does something on a thread whose network this is. Sockets made there stay in it, wherever they are used.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            let file = File::open(Path::new("/run/netns").join(&self.name)).unwrap();
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        };
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter();
                work()
            });
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Runs `ip` on this namespace; what it says.
    pub(crate) fn ip(&self, arguments: &[&str]) -> String {
        let output = Command::new("ip").args(["-n", &self.name]).args(arguments).output().unwrap();
        assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A program to be run in here. The process has its number from the start.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Sets an interface up, with addresses that hold at once.
    pub(crate) fn address(&self, device: &str, ipv4: &str, ipv6: Option<&str>) {
        self.ip(&["link", "set", device, "up"]);
        self.ip(&["address", "add", ipv4, "dev", device]);
        if let Some(ipv6) = ipv6.filter(|_| has_ipv6()) {
            self.ip(&["address", "add", ipv6, "dev", device, "nodad"]);
        }
    }

    pub(crate) fn shell(&self, line: &str) {
        let status = self.command("sh").args(["-c", line]).stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "{line}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}

/// Says that a test is left out, and why.
pub(crate) fn skip(reason: &str) {
    let must = std::env::var("CI").as_deref() == Ok("true") && rustix::process::geteuid().is_root();
    assert!(!must, "{reason}");
    println!("skipped: {reason}");
}

/// Whether this machine has IPv6; what is tried with it is tried with IPv4, too.
pub(crate) fn has_ipv6() -> bool {
    Path::new("/proc/net/if_inet6").exists()
}

fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".into());
    }
    match Command::new("ip").args(["netns", "list"]).output() {
        Err(error) => Some(format!("ip cannot be run: {error}")),
        Ok(output) if !output.status.success() => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Ok(_) => None,
    }
}
