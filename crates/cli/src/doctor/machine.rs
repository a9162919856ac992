//! What the machine says about itself. Nothing is changed by asking.

use std::io;

use afpa_platform::interface::Interface;
use afpa_platform::{uring, xdp};
use rustix::event::epoll;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::attached::{Attached, attached};
use crate::config::Cores;
use crate::process;

/// The facts that a report is made from.
pub(super) struct Machine {
    /// The kernel's version, as it calls itself and as two numbers.
    pub(super) release: String,
    pub(super) version: (u32, u32),
    /// CPUs that the process may use.
    pub(super) cpus: Vec<usize>,
    /// Whether memory of the cache may be in huge pages.
    pub(super) huge_pages: bool,
    pub(super) capabilities: CapabilitySet,
    /// The most memory that may be locked, in octets; none if there is no limit.
    pub(super) locked_memory: Option<u64>,
    /// Whether the kernel has bpf(2).
    pub(super) bpf: bool,
    pub(super) uring: Result<(), String>,
    pub(super) epoll: Result<(), String>,
    pub(super) xdp: Result<(), String>,
    pub(super) packet: Result<(), String>,
    pub(super) tap: Result<(), String>,
    /// The interface that was asked for.
    pub(super) interface: Option<Result<Facts, String>>,
}

/// An interface.
pub(super) struct Facts {
    pub(super) interface: Interface,
    /// XDP programs that are attached to it.
    pub(super) attached: Attached,
}

impl Machine {
    /// Looks around.
    pub(super) fn inspect(interface: Option<&str>) -> Machine {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Machine {
            version: version(&release),
            release,
            cpus: process::engine_cpus(&Cores::Allowed).unwrap_or_default(),
            huge_pages: huge_pages(),
            capabilities: capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective),
            locked_memory: getrlimit(Resource::Memlock).current,
            // The setting exists only beside the system call.
            bpf: std::fs::exists("/proc/sys/kernel/unprivileged_bpf_disabled").unwrap_or(false),
            uring: uring::probe(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).map(drop).map_err(|error| sentence(error.into())),
            xdp: xdp::probe().map_err(sentence),
            packet: packet().map_err(sentence),
            tap: tap().map_err(sentence),
            interface: interface.map(look_at),
        }
    }
}

fn look_at(name: &str) -> Result<Facts, String> {
    let interface = Interface::by_name(name).map_err(sentence)?;
    let attached = attached(interface.index).map_err(sentence)?;
    Ok(Facts { interface, attached })
}

/// Sees nothing: it is bound to no protocol.
fn packet() -> io::Result<()> {
    rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    Ok(())
}

/// Makes nothing: an interface would be the next step.
fn tap() -> io::Result<()> {
    rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok(())
}

/// Shared memory, of which the cache is made, has a setting of its own, and asking for a huge page
/// outright is allowed wherever there are any.
fn huge_pages() -> bool {
    std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap_or(false)
}

/// `6.18.44-custom`: 6 and 18.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn sentence(error: io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (release, expected) in
            [("6.18.44-fc", (6, 18)), ("6.1.0-13-amd64", (6, 1)), ("7.0-rc1", (7, 0)), ("", (0, 0))]
        {
            assert_eq!(version(release), expected, "{release}");
        }
    }
}
