//! The servers that are compared: how each is set up for one core and fed with the documents.

use crate::command;
use std::path::{Path, PathBuf};

/// The port of the server, in its namespace.
pub(crate) const PORT: u16 = 8080;
/// The port of the origin behind a cache, in the same namespace.
pub(crate) const BACKEND_PORT: u16 = 8081;

/// A server to compare.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its name in figures and options.
    pub(crate) name: &'static str,
    /// What to run.
    pub(crate) program: Program,
    /// Arguments, with placeholders.
    pub(crate) arguments: &'static [&'static str],
    /// Further arguments: what makes a variant of ours.
    pub(crate) options: &'static [&'static str],
    /// Files to write beforehand: name and contents, both with placeholders.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// What it needs behind it.
    pub(crate) origin: Option<Origin>,
    /// What it says when it is ready, if listening is not enough: on frames, our server listens through the kernel
    /// before it takes the frames of its connections away from it.
    pub(crate) ready: &'static str,
    /// What it can be asked for.
    pub(crate) abilities: Abilities,
    /// Whether it is one of the others with something switched off, and takes part only if it is named.
    pub(crate) is_variant: bool,
}

/// A backend of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// It has the documents, and closes each connection: enough for what is asked for once. It runs with the server.
    Documents,
    /// It has whatever it is asked for, over persistent connections, and counts. It runs with the client.
    Resources,
}

/// Where a server's program comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    /// The server that is compared with all others.
    Afpa,
    /// This program.
    Bench,
    /// An installed program.
    Installed(&'static str),
}

/// What a server can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Abilities {
    /// Everything.
    All,
    /// One request per connection, one connection at a time.
    OneAtATime,
    /// One constant answer of 1 KiB.
    Constant,
}

/// Our server on the kernel's TCP.
const SERVE: &[&str] = &["serve", "@ROOT@", "--listen", "@ADDRESS@:@PORT@", "--cores", "0", "--log", "off"];
/// Our server on its own TCP, on the frames of its end of the cable.
const DIRECT: &[&str] = &[
    "serve",
    "@ROOT@",
    "--listen",
    "@ADDRESS@:@PORT@",
    "--cores",
    "0",
    "--log",
    "off",
    "--transport",
    "direct",
    "--interface",
    "@DEVICE@",
    "--congestion",
    "@CONGESTION@",
];

/// Us, the peers and the baselines, in the order of figures. See `peers/` for the configurations.
pub(crate) const PEERS: &[Peer] = &[
    ours("afpa", SERVE, &[]),
    ours("afpa-direct", DIRECT, &[]),
    variant("direct-computed", DIRECT, &["--checksum", "computed"]),
    variant("direct-copied", DIRECT, &["--zero-copy", "off"]),
    // What the paper compared its zero copy with (AFPA §5.2): copied and summed up for each response.
    variant("direct-plain", DIRECT, &["--zero-copy", "off", "--checksum", "computed"]),
    // AF_PACKET, which takes segments of 64 KiB whole: for large responses.
    variant("direct-packet", DIRECT, &["--frames", "packet"]),
    variant("inline", SERVE, &["--respond", "inline"]),
    variant("thread", SERVE, &["--respond", "thread"]),
    Peer {
        name: "nginx",
        program: Program::Installed("nginx"),
        arguments: &["-p", "@RUN@", "-e", "stderr", "-c", "@RUN@/nginx.conf"],
        options: &[],
        files: &[("nginx.conf", include_str!("../peers/nginx.conf"))],
        origin: None,
        ready: "",
        abilities: Abilities::All,
        is_variant: false,
    },
    Peer {
        name: "lighttpd",
        program: Program::Installed("lighttpd"),
        arguments: &["-D", "-f", "@RUN@/lighttpd.conf"],
        options: &[],
        files: &[("lighttpd.conf", include_str!("../peers/lighttpd.conf"))],
        origin: None,
        ready: "",
        abilities: Abilities::All,
        is_variant: false,
    },
    Peer {
        name: "h2o",
        program: Program::Installed("h2o"),
        arguments: &["-m", "worker", "-c", "@RUN@/h2o.conf"],
        options: &[],
        files: &[("h2o.conf", include_str!("../peers/h2o.conf"))],
        origin: None,
        ready: "",
        abilities: Abilities::All,
        is_variant: false,
    },
    HAPROXY,
    VARNISH,
    Peer {
        name: "howl",
        program: Program::Bench,
        arguments: &["howl", "loop", "@ROOT@", "--listen", "@ADDRESS@:@PORT@"],
        options: &[],
        files: &[],
        origin: None,
        ready: "",
        abilities: Abilities::OneAtATime,
        is_variant: false,
    },
    Peer {
        name: "ring",
        program: Program::Bench,
        arguments: &["howl", "ring", "--listen", "@ADDRESS@:@PORT@"],
        options: &[],
        files: &[],
        origin: None,
        ready: "",
        abilities: Abilities::Constant,
        is_variant: false,
    },
];

/// A cache in front of an origin, as which it is also compared with other accelerators.
pub(crate) const HAPROXY: Peer = Peer {
    name: "haproxy",
    program: Program::Installed("haproxy"),
    arguments: &["-db", "-q", "-f", "@RUN@/haproxy.cfg"],
    options: &[],
    files: &[("haproxy.cfg", include_str!("../peers/haproxy.cfg"))],
    origin: Some(Origin::Documents),
    ready: "",
    abilities: Abilities::All,
    is_variant: false,
};

/// Another.
pub(crate) const VARNISH: Peer = Peer {
    name: "varnish",
    program: Program::Installed("varnishd"),
    arguments: &[
        "-F",
        "-j",
        "none",
        "-n",
        "@RUN@/varnish",
        "-f",
        "@RUN@/varnish.vcl",
        "-a",
        "@ADDRESS@:@PORT@",
        "-s",
        "malloc,256m",
        "-T",
        "none",
        "-p",
        "thread_pools=1",
        "-p",
        "thread_pool_min=100",
        "-p",
        "thread_pool_max=2000",
        "-p",
        "timeout_idle=300",
        "-p",
        "listen_depth=8192",
    ],
    options: &[],
    files: &[("varnish.vcl", include_str!("../peers/varnish.vcl"))],
    origin: Some(Origin::Documents),
    ready: "",
    abilities: Abilities::All,
    is_variant: false,
};

pub(crate) const fn ours(
    name: &'static str,
    arguments: &'static [&'static str],
    options: &'static [&'static str],
) -> Peer {
    let (program, abilities) = (Program::Afpa, Abilities::All);
    Peer {
        name,
        program,
        arguments,
        options,
        files: &[],
        origin: None,
        ready: "serving ",
        abilities,
        is_variant: false,
    }
}

pub(crate) const fn variant(
    name: &'static str,
    arguments: &'static [&'static str],
    options: &'static [&'static str],
) -> Peer {
    Peer { is_variant: true, ..ours(name, arguments, options) }
}

impl Peer {
    /// The program's path, if it is there. `afpa` is where ours lies.
    pub(crate) fn path(&self, afpa: &Path) -> Option<PathBuf> {
        match self.program {
            Program::Afpa => afpa.is_file().then(|| afpa.to_owned()),
            Program::Bench => std::env::current_exe().ok(),
            Program::Installed(name) => command::find(name),
        }
    }
}

/// What placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// The documents.
    pub(crate) root: &'a Path,
    /// A directory for this run of the server.
    pub(crate) run: &'a Path,
    /// The server's address.
    pub(crate) address: &'a str,
    /// The interface that has it.
    pub(crate) device: &'a str,
    /// The kernel's congestion control there.
    pub(crate) congestion: &'a str,
    /// The server's port.
    pub(crate) port: u16,
    /// The origin's port, on loopback.
    pub(crate) backend: u16,
}

impl Places<'_> {
    /// `text` with its placeholders filled in.
    pub(crate) fn fill(&self, text: &str) -> String {
        // Ours has two: the same one, or the one whose name is not reno's.
        let congestion = if self.congestion == "reno" { "reno" } else { "cubic" };
        text.replace("@ROOT@", &self.root.to_string_lossy())
            .replace("@RUN@", &self.run.to_string_lossy())
            .replace("@ADDRESS@", self.address)
            .replace("@DEVICE@", self.device)
            .replace("@CONGESTION@", congestion)
            .replace("@PORT@", &self.port.to_string())
            .replace("@BACKEND@", &self.backend.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxies::PROXIES;

    #[test]
    fn no_placeholder_is_left_in_any_configuration() {
        let (root, run) = (Path::new("/root"), Path::new("/run"));
        let (port, backend) = (PORT, BACKEND_PORT);
        let places = Places { root, run, address: "10.0.0.1", device: "d0", congestion: "bbr", port, backend };
        let texts = PEERS.iter().chain(PROXIES).flat_map(|peer| {
            let arguments = peer.arguments.iter().chain(peer.options).copied();
            arguments.chain(peer.files.iter().map(|file| file.1))
        });
        for text in texts {
            assert!(!places.fill(text).contains('@'), "{text}");
        }
        assert_eq!(places.fill("@ADDRESS@:@PORT@ @BACKEND@"), "10.0.0.1:8080 8081");
        assert_eq!(places.fill("@DEVICE@ @CONGESTION@"), "d0 cubic");
        assert_eq!(Places { congestion: "reno", ..places }.fill("@CONGESTION@"), "reno");
    }

    #[test]
    fn names_are_unique() {
        for peers in [PEERS, PROXIES] {
            for (index, peer) in peers.iter().enumerate() {
                assert!(peers[..index].iter().all(|other| other.name != peer.name));
            }
        }
    }
}
