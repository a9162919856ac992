//! Runs NSD on a port of its own.

use std::fmt::Write;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use afpa_dns::message::{Class, Header, NameBuf, Rcode, Type, Writer};

use super::generate::ZoneFile;
use crate::free_address::free_address;

pub(crate) fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = std::env::split_paths(&paths).chain([PathBuf::from("/usr/sbin")]);
    directories.any(|directory| directory.join(program).is_file())
}

/// A directory that goes with its value.
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn new(name: &str) -> TemporaryDirectory {
        let path = std::env::temp_dir().join(format!("afpa-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        TemporaryDirectory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Nsd {
    child: Child,
    socket: UdpSocket,
    next_id: u16,
}

impl Nsd {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(directory: &Path, zones: &[ZoneFile]) -> Nsd {
        let port = free_address().port();
        let at = directory.display();
        let mut text = format!(
            "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{at}\"\n \
             pidfile: \"{at}/nsd.pid\"\n xfrdfile: \"{at}/xfrd.state\"\n zonelistfile: \"{at}/zone.list\"\n \
             logfile: \"{at}/nsd.log\"\n xfrdir: \"{at}\"\n server-count: 1\n ipv4-edns-size: 4096\n rrl-ratelimit: 0\n\
             remote-control:\n control-enable: no\n"
        );
        for zone in zones {
            writeln!(text, "zone:\n name: \"{}\"\n zonefile: \"{}\"", zone.apex, zone.path.display()).unwrap();
        }
        let configuration = directory.join("nsd.conf");
        std::fs::write(&configuration, text).unwrap();
        let program = ["/usr/sbin/nsd"].into_iter().find(|path| Path::new(path).is_file()).unwrap_or("nsd");
        let mut command = Command::new(program);
        command.arg("-d").arg("-c").arg(&configuration);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut nsd = Nsd { child, socket, next_id: 0 };
        let deadline = Instant::now() + Duration::from_secs(20);
        for zone in zones {
            while nsd.try_ask(&zone.apex, Type::SOA, false, 4096).is_none_or(|answer| answer[3] & 0xf != 0) {
                let log = || std::fs::read_to_string(directory.join("nsd.log")).unwrap_or_default();
                assert!(Instant::now() < deadline, "NSD does not answer for {}: {}", zone.apex, log());
            }
        }
        nsd
    }

    pub(crate) fn ask(&mut self, name: &NameBuf, qtype: Type, dnssec_ok: bool, size: u16) -> Vec<u8> {
        let mut tries = (0..20).filter_map(|_| self.try_ask(name, qtype, dnssec_ok, size));
        tries.next().unwrap_or_else(|| panic!("NSD does not answer {name} {qtype}"))
    }

    fn try_ask(&mut self, name: &NameBuf, qtype: Type, dnssec_ok: bool, size: u16) -> Option<Vec<u8>> {
        self.next_id = self.next_id.wrapping_add(1);
        let mut octets = Vec::new();
        let mut writer = Writer::new(&mut octets, Header { id: self.next_id, ..Header::default() }, 512);
        writer.question(name.as_name(), qtype, Class::IN).unwrap();
        writer.opt(size, Rcode::NOERROR, dnssec_ok, &[]).unwrap();
        writer.finish();
        self.socket.send(&octets).ok()?;
        let mut buffer = [0; 65535];
        loop {
            let len = self.socket.recv(&mut buffer).ok()?;
            if buffer[..2] == self.next_id.to_be_bytes() {
                return Some(buffer[..len].to_vec());
            }
        }
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // SIGTERM lets it end its own processes.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
