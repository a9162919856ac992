//! Other servers, each on a port of its own.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use afpa_dns::message::{Header, NameBuf, Rcode, Type};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::{Client, EDNS};
use crate::free_address::free_address;
use crate::server::eventually;
use crate::zone_support::generate::ZoneFile;

/// Whether the programs are there. Otherwise says which are not, and fails with `CI=true`.
pub(crate) fn are_installed(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|name| path(name).is_none()).collect();
    skip_without(missing.is_empty(), &format!("{missing:?} must be installed"))
}

/// The same of dnspython.
pub(crate) fn has_dnspython() -> bool {
    let import = || python().args(["-c", "import dns"]).stderr(Stdio::null()).status();
    skip_without(import().is_ok_and(|status| status.success()), "python3 with dnspython must be installed")
}

/// The distribution's Python, which knows the distribution's packages, whatever else is there.
pub(crate) fn python() -> Command {
    let own = Path::new("/usr/bin/python3");
    Command::new(if own.is_file() { own } else { Path::new("python3") })
}

fn skip_without(is_there: bool, what: &str) -> bool {
    if !is_there {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{what}");
        println!("skipped: {what}");
    }
    is_there
}

/// A program that may be in a directory of root's.
pub(crate) fn program(name: &str) -> Command {
    Command::new(path(name).unwrap_or_else(|| PathBuf::from(name)))
}

fn path(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = std::env::split_paths(&paths).chain([PathBuf::from("/usr/sbin")]);
    directories.find_map(|directory| Some(directory.join(name)).filter(|path| path.is_file()))
}

/// A server of another make. It goes with its value.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    program: &'static str,
    arguments: Vec<String>,
    directory: TempDir,
}

impl Daemon {
    /// NSD, with these zones.
    pub(crate) fn nsd(zones: &[ZoneFile]) -> Daemon {
        Daemon::start("nsd", &["-d", "-c"], &zones[0].apex, Type::SOA, |at, port| {
            let mut text = format!(
                "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{at}\"\n \
                 pidfile: \"{at}/nsd.pid\"\n xfrdfile: \"{at}/xfrd.state\"\n zonelistfile: \"{at}/zone.list\"\n \
                 logfile: \"{at}/nsd.log\"\n xfrdir: \"{at}\"\n server-count: 1\n ipv4-edns-size: 1232\n \
                 rrl-ratelimit: 0\n tcp-query-count: 0\n minimal-responses: yes\nremote-control:\n control-enable: no\n"
            );
            for zone in zones {
                writeln!(text, "zone:\n name: \"{}\"\n zonefile: \"{}\"", zone.apex, zone.path.display()).unwrap();
            }
            text
        })
    }

    /// Knot DNS, with these zones.
    pub(crate) fn knot(zones: &[ZoneFile]) -> Daemon {
        Daemon::start("knotd", &["-c"], &zones[0].apex, Type::SOA, |at, port| {
            let mut text = format!(
                "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{at}\"\n  udp-max-payload: 1232\n  udp-workers: 1\n  \
                 tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{at}/db\"\ncontrol:\n  \
                 listen: \"{at}/knot.sock\"\ntemplate:\n  - id: default\n    zonefile-load: whole\n    \
                 zonefile-sync: -1\n    journal-content: none\nzone:\n"
            );
            for zone in zones {
                writeln!(text, "  - domain: \"{}\"\n    file: \"{}\"", zone.apex, zone.path.display()).unwrap();
            }
            text
        })
    }

    /// Unbound, which knows nothing but what `configuration` says; `probe` is a name that it answers.
    pub(crate) fn unbound(configuration: &str, probe: &str) -> Daemon {
        Daemon::start("unbound", &["-d", "-c"], &probe.parse().unwrap(), Type::A, |at, port| {
            format!(
                "server:\n interface: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n directory: \"{at}\"\n \
                 pidfile: \"{at}/unbound.pid\"\n use-syslog: no\n logfile: \"\"\n num-threads: 1\n \
                 do-not-query-localhost: no\n module-config: \"iterator\"\n outgoing-range: 64\n \
                 edns-buffer-size: 1232\n max-udp-size: 1232\n{configuration}\nremote-control:\n control-enable: no\n"
            )
        })
    }

    fn start(
        program: &'static str,
        arguments: &[&str],
        probe: &NameBuf,
        qtype: Type,
        configuration: impl FnOnce(std::path::Display<'_>, u16) -> String,
    ) -> Daemon {
        let directory = tempfile::tempdir().unwrap();
        let address = free_address();
        let file = directory.path().join(format!("{program}.conf"));
        fs::write(&file, configuration(directory.path().display(), address.port())).unwrap();
        let arguments: Vec<_> = arguments.iter().copied().chain([file.to_str().unwrap()]).map(str::to_owned).collect();
        let child = spawn(program, &arguments, directory.path());
        let daemon = Daemon { child, address, program, arguments, directory };
        daemon.wait(probe, qtype);
        daemon
    }

    /// Ends it as if by accident.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.program, &self.arguments, self.directory.path());
    }

    fn wait(&self, probe: &NameBuf, qtype: Type) {
        let mut client = Client::to(self.address).patience(Duration::from_millis(200));
        eventually(&format!("the start of {} ({})", self.program, self.said()), || {
            let answer = client.try_udp(probe, qtype, EDNS);
            answer.is_some_and(|answer| Header::read(&answer).unwrap().rcode() == Rcode::NOERROR)
        });
    }

    fn said(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGTERM lets it end processes of its own.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("{} said: {}", self.program, self.said());
        }
    }
}

fn spawn(name: &str, arguments: &[String], directory: &Path) -> Child {
    let output = fs::File::create(directory.join("output")).unwrap();
    let mut command = program(name);
    command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    command.spawn().unwrap()
}
