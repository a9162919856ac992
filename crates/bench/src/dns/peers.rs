//! The DNS servers that are compared: how each is set up for one core.

use super::scenario::Role;
use crate::command;
use crate::peers::Program;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server to compare.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its name in figures and options.
    pub(super) name: &'static str,
    program: Program,
    /// Arguments with placeholders for those roles that it can have.
    cache: Option<&'static [&'static str]>,
    authority: Option<&'static [&'static str]>,
    /// Further arguments, in each role.
    options: &'static [&'static str],
    /// The configuration to write beforehand: name and contents, both with placeholders.
    pub(super) file: Option<(&'static str, &'static str)>,
    /// Whether it is measured under clients on frames alone.
    pub(super) only_saturated: bool,
}

const AFPA_CACHE: &[&str] = &["dns", "--listen", "@ADDRESS@:@PORT@", "--backend", "@BACKEND@", "--cores", "0"];
const AFPA_AUTHORITY: &[&str] =
    &["dns", "--listen", "@ADDRESS@:@PORT@", "--zone", "example.com=@ZONE@", "--cores", "0"];
const DIRECT: &[&str] = &["--transport", "direct", "--interface", "@DEVICE@"];
const DRIVER: &[&str] = &["--transport", "direct", "--interface", "@DEVICE@", "--driver-answers", "on"];

/// Us and the others, in the order of figures. See `peers/` here for the configurations.
pub(super) const PEERS: &[Peer] = &[
    ours("afpa", &[]),
    ours("afpa-direct", DIRECT),
    // On a cable of two virtual ends, what the driver sends waits until the other end has an XDP program, too.
    Peer { only_saturated: true, ..ours("afpa-driver", DRIVER) },
    Peer {
        cache: Some(&["--supervised", "--disable-syslog", "-C", "@RUN@/dnsdist.conf"]),
        ..installed("dnsdist", "dnsdist", ("dnsdist.conf", include_str!("peers/dnsdist.conf")))
    },
    Peer {
        cache: Some(&["-d", "-c", "@RUN@/unbound.conf"]),
        ..installed("unbound", "unbound", ("unbound.conf", include_str!("peers/unbound.conf")))
    },
    Peer {
        authority: Some(&["-d", "-c", "@RUN@/nsd.conf"]),
        ..installed("nsd", "nsd", ("nsd.conf", include_str!("peers/nsd.conf")))
    },
    Peer {
        authority: Some(&["-c", "@RUN@/knot.conf"]),
        ..installed("knotd", "knotd", ("knot.conf", include_str!("peers/knot.conf")))
    },
    Peer {
        authority: Some(&["-c", "@RUN@/knot-xdp.conf"]),
        ..installed("knotd-xdp", "knotd", ("knot-xdp.conf", include_str!("peers/knot-xdp.conf")))
    },
];

/// The server behind the caches.
pub(super) const BACKEND: &str = "nsd";

const fn ours(name: &'static str, options: &'static [&'static str]) -> Peer {
    let (cache, authority) = (Some(AFPA_CACHE), Some(AFPA_AUTHORITY));
    Peer { name, program: Program::Afpa, cache, authority, options, file: None, only_saturated: false }
}

const fn installed(name: &'static str, program: &'static str, file: (&'static str, &'static str)) -> Peer {
    let program = Program::Installed(program);
    Peer { name, program, cache: None, authority: None, options: &[], file: Some(file), only_saturated: false }
}

impl Peer {
    /// The server of that name.
    pub(super) fn by_name(name: &str) -> Option<&'static Peer> {
        PEERS.iter().find(|peer| peer.name == name)
    }

    /// Its arguments in `role`, if it can have that.
    pub(super) fn arguments(&self, role: Role) -> Option<impl Iterator<Item = &'static str>> {
        let arguments = match role {
            Role::Cache => self.cache,
            Role::Authority => self.authority,
        };
        Some(arguments?.iter().chain(self.options).copied())
    }

    /// The program's path. `afpa` is where ours lies.
    ///
    /// # Errors
    /// The reason why it cannot be compared, in words.
    pub(super) fn path(&self, afpa: &Path) -> Result<PathBuf, String> {
        match self.program {
            Program::Installed(name) => command::find(name).ok_or_else(|| format!("{name} is not installed")),
            _ if !afpa.is_file() => Err(format!("there is no {}", afpa.display())),
            _ if !speaks_dns(afpa) => Err(format!("{} has no subcommand dns", afpa.display())),
            _ => Ok(afpa.to_owned()),
        }
    }
}

fn speaks_dns(afpa: &Path) -> bool {
    Command::new(afpa).args(["dns", "--help"]).output().is_ok_and(|output| output.status.success())
}

/// What placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// The master file.
    pub(super) zone: &'a Path,
    /// A directory for this run of the server.
    pub(super) run: &'a Path,
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    /// The interface that has the address.
    pub(super) device: &'a str,
    /// Where a cache forwards to.
    pub(super) backend: SocketAddrV4,
}

impl Places<'_> {
    /// `text` with its placeholders filled in.
    pub(super) fn fill(&self, text: &str) -> String {
        text.replace("@ZONE@", &self.zone.to_string_lossy())
            .replace("@RUN@", &self.run.to_string_lossy())
            // Some write the port behind another of these signs.
            .replace("@ADDRESS@@@PORT@", &format!("{}@{}", self.address, self.port))
            .replace("@DEVICE@@@PORT@", &format!("{}@{}", self.device, self.port))
            .replace("@BACKENDADDRESS@@@BACKENDPORT@", &format!("{}@{}", self.backend.ip(), self.backend.port()))
            .replace("@ADDRESS@", &self.address.to_string())
            .replace("@PORT@", &self.port.to_string())
            .replace("@DEVICE@", self.device)
            .replace("@BACKEND@", &self.backend.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left_in_any_configuration() {
        let (zone, run) = (Path::new("/zone"), Path::new("/run"));
        let backend = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 54);
        let places = Places { zone, run, address: Ipv4Addr::new(10, 0, 0, 1), port: 53, device: "d0", backend };
        for peer in PEERS {
            let arguments =
                [Role::Cache, Role::Authority].into_iter().filter_map(|role| peer.arguments(role)).flatten();
            for text in arguments.chain(peer.file.map(|file| file.1)) {
                let filled = places.fill(text);
                let left =
                    ["10.0.0.1@53", "10.0.0.2@54", "d0@53"].iter().fold(filled, |text, part| text.replace(part, ""));
                assert!(!left.contains('@'), "{left}");
            }
        }
        assert_eq!(places.fill("@ADDRESS@:@PORT@ @BACKEND@ @ADDRESS@@@PORT@"), "10.0.0.1:53 10.0.0.2:54 10.0.0.1@53");
    }

    #[test]
    fn names_are_unique_and_every_server_has_a_role() {
        for (index, peer) in PEERS.iter().enumerate() {
            assert!(PEERS[..index].iter().all(|other| other.name != peer.name));
            assert!(peer.cache.is_some() || peer.authority.is_some());
        }
        assert!(Peer::by_name(BACKEND).is_some_and(|peer| peer.authority.is_some()));
    }
}
