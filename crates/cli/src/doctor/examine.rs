//! From facts to findings.

use afpa_platform::interface::{Interface, Kind};
use afpa_platform::xdp::ONE_CHUNK_MTU;
use rustix::thread::CapabilitySet;

use super::attached::Attached;
use super::machine::{Facts, Machine};
use super::{Direct, Finding, Report};
use crate::process;
use crate::units::Size;

/// Linux that everything is tested on, that scatters AF_XDP frames, and that shields packet sockets.
const NEEDED: (u32, u32) = (6, 1);
const SCATTERS: (u32, u32) = (6, 6);
const SHIELDS: (u32, u32) = (6, 6);

/// The cache's size unless something else is asked for: what must be locked for AF_XDP.
const CACHE: Size = Size::mib(256);

/// Drivers that receive into and send from our memory, and the first kernel in which they do.
const ZERO_COPY: [(&str, (u32, u32)); 10] = [
    ("i40e", (4, 20)),
    ("ixgbe", (4, 20)),
    ("ice", (5, 5)),
    ("mlx5_core", (5, 3)),
    ("stmmac", (5, 13)),
    ("igc", (5, 14)),
    ("nfp", (5, 18)),
    ("gve", (6, 4)),
    ("virtio_net", (6, 13)),
    ("igb", (6, 14)),
];

pub(super) fn report(machine: &Machine) -> Report {
    let mut findings = vec![kernel(machine), cpus(machine), huge_pages(machine)];
    let sockets = [uring(machine), epoll(machine)];
    let can_serve = sockets.iter().any(Finding::works);
    findings.extend(sockets);

    let (bpf, memory) = (bpf(machine), locked_memory(machine));
    let (xdp, packet, tap) = (xdp(machine), packet(machine), tap(machine));
    let mut direct = Direct {
        xdp: xdp.works() && bpf.works() && memory.works(),
        packet: packet.works() && bpf.works(),
        tap: tap.works(),
    };
    findings.extend([bpf, memory, xdp, packet, tap]);
    match &machine.interface {
        None => {}
        Some(Err(reason)) => {
            findings.push(Finding::not("interface", reason.clone(), "ip link shows those of this network namespace"));
            direct = Direct { xdp: false, packet: false, ..direct };
        }
        Some(Ok(facts)) => {
            let link = link(&facts.interface);
            let has_frames = link.works();
            let program = program(facts);
            direct.xdp &= has_frames && program.works();
            direct.packet &= has_frames;
            direct.tap &= facts.interface.kind == Kind::Tap;
            findings.extend([link, queues(machine, &facts.interface), mtu(machine, &facts.interface), program]);
            findings.push(driver(machine, &facts.interface));
        }
    }
    findings.push(best(&direct, machine.interface.is_some()));
    Report { sockets: can_serve, direct, findings }
}

fn kernel(machine: &Machine) -> Finding {
    let says = format!("Linux {}", machine.release);
    if machine.version >= NEEDED {
        Finding::ok("kernel", says)
    } else {
        Finding::limited("kernel", says, "use 6.1 or later: nothing is tested on older ones")
    }
}

fn cpus(machine: &Machine) -> Finding {
    match machine.cpus.len() {
        0 => Finding::limited("CPUs", "the system does not say which may be used", "name them with --cores"),
        count => {
            let engines = if count == 1 { "engine" } else { "engines" };
            Finding::ok("CPUs", format!("{}: at most {count} {engines}", process::show_cpus(&machine.cpus)))
        }
    }
}

fn huge_pages(machine: &Machine) -> Finding {
    if machine.huge_pages {
        Finding::ok("huge pages", "the cache's blocks are of 2 MiB where they are never lent")
    } else {
        Finding::limited("huge pages", "none: a few more misses of the TLB", "use a kernel with transparent huge pages")
    }
}

fn uring(machine: &Machine) -> Finding {
    let part = "sockets, io_uring";
    match &machine.uring {
        Ok(()) => Finding::ok(part, "the kernel's TCP, one system call for each pass of an engine"),
        Err(reason) => Finding::not(part, reason.clone(), "epoll takes its place, with more system calls"),
    }
}

fn epoll(machine: &Machine) -> Finding {
    let part = "sockets, epoll";
    match &machine.epoll {
        Ok(()) => Finding::ok(part, "the kernel's TCP, a system call for each receive and each send"),
        Err(reason) => Finding::refused(part, reason.clone()),
    }
}

fn bpf(machine: &Machine) -> Finding {
    let part = "BPF programs";
    let has = |needed| machine.capabilities.contains(needed);
    if !machine.bpf {
        return Finding::not(part, "the kernel has no bpf(2)", "use one with CONFIG_BPF_SYSCALL");
    }
    // CAP_SYS_ADMIN covers CAP_BPF and CAP_PERFMON, which lets a program compute with addresses of packets;
    // CAP_NET_ADMIN is needed for programs of the network (capabilities(7)).
    let may_load = has(CapabilitySet::BPF | CapabilitySet::PERFMON) || has(CapabilitySet::SYS_ADMIN);
    if has(CapabilitySet::NET_ADMIN) && may_load {
        return Finding::ok(part, "frames for our listeners can be told from the kernel's");
    }
    let granted = "run as root, or grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (setcap, AmbientCapabilities=)";
    Finding::not(part, "this process may not load them", granted)
}

fn locked_memory(machine: &Machine) -> Finding {
    let part = "locked memory";
    if machine.capabilities.contains(CapabilitySet::IPC_LOCK) {
        return Finding::ok(part, "unlimited");
    }
    match machine.locked_memory {
        None => Finding::ok(part, "unlimited"),
        Some(limit) if limit >= CACHE.0 + CACHE.0 / 2 => Finding::ok(part, format!("up to {}", Size(limit))),
        Some(limit) => Finding::limited(
            part,
            format!("at most {}, and AF_XDP locks the whole cache", Size(limit)),
            "set LimitMEMLOCK=infinity (ulimit -l unlimited), grant CAP_IPC_LOCK, or choose a smaller --cache",
        ),
    }
}

fn xdp(machine: &Machine) -> Finding {
    let part = "direct, AF_XDP";
    if let Err(reason) = &machine.xdp {
        return Finding::refused(part, reason.clone());
    }
    if machine.version < SCATTERS {
        let says = "our own TCP; each payload is copied once, frames of at most 3.5 KiB";
        return Finding::limited(part, says, "Linux 6.6 sends payloads from where they lie, and jumbo frames");
    }
    Finding::ok(part, "our own TCP, payloads from where they lie, jumbo frames")
}

fn packet(machine: &Machine) -> Finding {
    let part = "direct, AF_PACKET";
    if let Err(reason) = &machine.packet {
        let remedy = "run as root, or grant CAP_NET_RAW (setcap, AmbientCapabilities=)";
        return Finding::not(part, format!("no packet socket can be made: {reason}"), remedy);
    }
    if machine.version < SHIELDS {
        let says = format!("Linux {} cannot keep our packets from its own TCP", machine.release);
        return Finding::not(part, says, "use 6.6 or later, or AF_XDP");
    }
    Finding::ok(part, "our own TCP, large segments cut by the kernel or the device, one copy each way")
}

fn tap(machine: &Machine) -> Finding {
    let part = "direct, TAP";
    match &machine.tap {
        Err(reason) => {
            let remedy = "load it (modprobe tun), and let the container have the device";
            Finding::not(part, format!("/dev/net/tun cannot be opened: {reason}"), remedy)
        }
        Ok(()) if machine.capabilities.contains(CapabilitySet::NET_ADMIN) => {
            Finding::ok(part, "our own TCP, for clients on this machine; a system call for each frame")
        }
        Ok(()) => {
            let says = "only devices that were made for this user can be opened";
            Finding::limited(part, says, "ip tuntap add NAME mode tap user USER makes one; or grant CAP_NET_ADMIN")
        }
    }
}

fn link(interface: &Interface) -> Finding {
    let Interface { name, index, mac, is_up, .. } = interface;
    let part = "interface";
    let Some(mac) = mac else {
        return Finding::not(
            part,
            format!("{name} has no Ethernet frames"),
            "choose another: afpa lab up makes a pair",
        );
    };
    let mac: Vec<_> = mac.iter().map(|octet| format!("{octet:02x}")).collect();
    let what = format!("{name} (index {index}, {}), {}", mac.join(":"), kind(interface));
    match (interface.kind, is_up) {
        (Kind::Loopback, _) => {
            let remedy = "choose sockets for clients on this machine, or afpa lab up";
            Finding::not(part, format!("{name} is the loopback, which has no frames to take"), remedy)
        }
        (_, true) => Finding::ok(part, what),
        (_, false) => Finding::not(part, format!("{what}, is down"), format!("ip link set dev {name} up")),
    }
}

fn kind(interface: &Interface) -> &'static str {
    match interface.kind {
        Kind::Loopback => "the loopback",
        Kind::Pair => "one end of a virtual cable (veth)",
        Kind::Tap => "a TAP device",
        Kind::Tun => "a TUN device",
        Kind::Stacked => "stands on other interfaces",
        Kind::Device => "a device",
        Kind::Virtual => "a virtual interface",
    }
}

fn queues(machine: &Machine, interface: &Interface) -> Finding {
    let Interface { name, receive_queues, transmit_queues, .. } = interface;
    let part = "queues";
    let usable = (*receive_queues).min(*transmit_queues) as usize;
    let engines = if usable == 1 { "engine" } else { "engines" };
    let says = format!("{receive_queues} for receiving, {transmit_queues} for sending: at most {usable} {engines}");
    if usable >= machine.cpus.len() {
        return Finding::ok(part, says);
    }
    let remedy = format!("ethtool -L {name} combined {} gives each CPU one, if the driver can", machine.cpus.len());
    Finding::limited(part, says, remedy)
}

fn mtu(machine: &Machine, interface: &Interface) -> Finding {
    let Interface { name, mtu, .. } = interface;
    let part = "MTU";
    if *mtu <= ONE_CHUNK_MTU {
        return Finding::ok(part, format!("{mtu}: a frame fits into one chunk of AF_XDP"));
    }
    if machine.version >= SCATTERS {
        return Finding::ok(part, format!("{mtu}: AF_XDP spreads a frame over chunks, if the driver can"));
    }
    let remedy = format!("ip link set dev {name} mtu {ONE_CHUNK_MTU}, or use Linux 6.6 or AF_PACKET");
    Finding::limited(part, format!("{mtu}: AF_XDP would lose frames larger than a chunk"), remedy)
}

fn program(facts: &Facts) -> Finding {
    let part = "XDP program";
    let name = &facts.interface.name;
    match facts.attached {
        Attached::Nowhere => Finding::ok(part, "none is attached: ours has room"),
        Attached::Driver | Attached::Generic | Attached::Elsewhere => {
            let remedy = format!("end its owner, or detach it: ip link set dev {name} xdp off");
            Finding::not(part, "another one is attached, perhaps by a server that runs", remedy)
        }
    }
}

fn driver(machine: &Machine, interface: &Interface) -> Finding {
    let part = "driver";
    let name = if interface.driver.is_empty() { "unknown" } else { &interface.driver };
    let zero_copy = ZERO_COPY.iter().find(|(driver, since)| *driver == name && machine.version >= *since);
    match (interface.kind, zero_copy) {
        (Kind::Pair, _) => Finding::ok(part, format!("{name}: AF_XDP in copy mode, about 2 µs a frame")),
        (_, Some(_)) => Finding::ok(part, format!("{name}: AF_XDP can do without copies")),
        (Kind::Device, None) => {
            let remedy = "AF_PACKET may be as fast for large objects: measure";
            Finding::limited(part, format!("{name}: AF_XDP in copy mode, as far as is known here"), remedy)
        }
        _ => Finding::limited(part, format!("{name}: AF_XDP in the kernel's generic mode"), "AF_PACKET costs less"),
    }
}

fn best(direct: &Direct, looked_at_interface: bool) -> Finding {
    let part = "direct";
    let frames = match direct {
        Direct { xdp: true, .. } => "xdp",
        Direct { packet: true, .. } => "packet",
        Direct { tap: true, .. } => "tap",
        _ => return Finding::not(part, "no way to frames works", "the lines above say what helps; sockets need none"),
    };
    let interface = if looked_at_interface { "" } else { "; --interface IF looks at the rest" };
    Finding::ok(part, format!("--transport direct would use --frames {frames}{interface}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    /// A machine on which everything works.
    fn machine() -> Machine {
        Machine {
            release: "6.18.44".into(),
            version: (6, 18),
            cpus: vec![0, 1],
            huge_pages: true,
            capabilities: CapabilitySet::all(),
            locked_memory: Some(8 << 20),
            bpf: true,
            uring: Ok(()),
            epoll: Ok(()),
            xdp: Ok(()),
            packet: Ok(()),
            tap: Ok(()),
            interface: Some(Ok(Facts { interface: cable(), attached: Attached::Nowhere })),
        }
    }

    fn cable() -> Interface {
        Interface {
            name: "lab0".into(),
            index: 7,
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            kind: Kind::Pair,
            driver: "veth".into(),
            is_up: true,
            receive_queues: 2,
            transmit_queues: 2,
        }
    }

    fn finding<'a>(report: &'a Report, part: &str) -> &'a Finding {
        report.findings.iter().find(|finding| finding.part == part).unwrap()
    }

    #[test]
    fn where_everything_works_everything_is_ok() {
        let report = report(&machine());
        assert!(report.findings.iter().all(|finding| finding.status == Status::Ok), "{report:#?}");
        assert_eq!((report.sockets, &report.direct), (true, &Direct { xdp: true, packet: true, tap: false }));
        assert!(finding(&report, "direct").says.contains("--frames xdp"));
        assert!(
            report
                .text()
                .lines()
                .any(|line| line == "ok       driver             veth: AF_XDP in copy mode, about 2 µs a frame"),
            "{}",
            report.text()
        );
    }

    #[test]
    fn each_thing_that_is_missing_is_said_with_what_helps() {
        type Change = fn(&mut Machine);
        type Case = (Change, &'static str, &'static str, [bool; 3]);
        let cases: [Case; 14] = [
            (
                |m| m.uring = Err("io_uring is forbidden".into()),
                "sockets, io_uring",
                "epoll takes its place",
                [true, true, true],
            ),
            (
                |m| (m.uring, m.epoll) = (Err("none".into()), Err("none".into())),
                "sockets, epoll",
                "none",
                [false, true, true],
            ),
            (|m| m.version = (6, 2), "direct, AF_XDP", "Linux 6.6 sends payloads", [true, true, false]),
            (|m| m.version = (6, 2), "direct, AF_PACKET", "use 6.6 or later", [true, true, false]),
            (|m| m.version = (5, 15), "kernel", "6.1 or later", [true, true, false]),
            (|m| m.capabilities = CapabilitySet::empty(), "BPF programs", "run as root", [true, false, false]),
            (
                |m| m.capabilities.remove(CapabilitySet::BPF | CapabilitySet::SYS_ADMIN),
                "BPF programs",
                "CAP_BPF",
                [true, false, false],
            ),
            (|m| m.bpf = false, "BPF programs", "CONFIG_BPF_SYSCALL", [true, false, false]),
            (
                |m| m.capabilities.remove(CapabilitySet::IPC_LOCK),
                "locked memory",
                "at most 8 MiB, and AF_XDP locks the whole cache; set LimitMEMLOCK=infinity",
                [true, true, true],
            ),
            (|m| m.xdp = Err("needs CAP_NET_RAW".into()), "direct, AF_XDP", "CAP_NET_RAW", [true, false, true]),
            (
                |m| m.interface = Some(Err("No such device".into())),
                "interface",
                "No such device; ip link shows those of this network namespace",
                [true, false, false],
            ),
            (
                |m| m.interface = Some(Ok(Facts { interface: cable(), attached: Attached::Generic })),
                "XDP program",
                "ip link set dev lab0 xdp off",
                [true, false, true],
            ),
            (
                |m| {
                    let interface = Interface { is_up: false, ..cable() };
                    m.interface = Some(Ok(Facts { interface, attached: Attached::Nowhere }));
                },
                "interface",
                "is down; ip link set dev lab0 up",
                [true, false, false],
            ),
            (
                |m| {
                    let interface = Interface { mac: None, ..cable() };
                    m.interface = Some(Ok(Facts { interface, attached: Attached::Nowhere }));
                },
                "interface",
                "no Ethernet frames; choose another",
                [true, false, false],
            ),
        ];
        for (change, part, words, [sockets, xdp, packet]) in cases {
            let mut machine = machine();
            change(&mut machine);
            let report = report(&machine);
            let text = report.text();
            let line = text.lines().find(|line| line.contains(&format!("  {part} ")) && !line.starts_with("ok"));
            assert!(line.is_some_and(|line| line.contains(words)), "{part}: {words} in\n{text}");
            let works = (report.sockets, report.direct.xdp, report.direct.packet);
            assert_eq!(works, (sockets, xdp, packet), "{part}: {words}");
        }
    }

    #[test]
    fn an_interface_that_could_do_better_is_limited() {
        let interface = |change: fn(&mut Interface)| {
            let mut interface = cable();
            change(&mut interface);
            let mut machine = machine();
            machine.interface = Some(Ok(Facts { interface, attached: Attached::Nowhere }));
            machine
        };
        let one_queue = report(&interface(|i| i.receive_queues = 1));
        assert_eq!(finding(&one_queue, "queues").status, Status::Limited);
        let intel = report(&interface(|i| (i.kind, i.driver) = (Kind::Device, "ice".into())));
        assert_eq!(finding(&intel, "driver").says, "ice: AF_XDP can do without copies");
        let jumbo = Machine { version: (6, 1), ..interface(|i| i.mtu = 9000) };
        assert_eq!(finding(&report(&jumbo), "MTU").status, Status::Limited);
        let tap = report(&interface(|i| (i.kind, i.driver) = (Kind::Tap, "tun".into())));
        assert!(tap.direct.tap);
    }
}
