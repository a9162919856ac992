//! What is well written and still cannot work.

use std::path::Path;

use afpa_channel::layout::MAX_ENGINES;

use super::{Directions, Provider, RING, TcpServer};
use crate::config::direct::Direct;
use crate::config::problems::{Problem, interface_problem, size_within, span_within};
use crate::config::{Config, Cores, Limits};
use crate::units::{Size, Span};

/// Of what belongs to the provider direct.
const WITHOUT_DIRECT: &str = "expected provider = \"direct\" beside it, found \"kernel\"; set it, or leave this out";

/// Everything that contradicts itself or lies outside its bounds. Looks at nothing but `config`.
pub(in crate::config) fn problems(config: &Config, server: &TcpServer, found: &mut Vec<Problem>) {
    what_else(config, found);
    if let Cores::List(cpus) = &server.cores
        && cpus.len() > MAX_ENGINES as usize
    {
        let message = format!("expected at most {MAX_ENGINES} CPUs, found {}", cpus.len());
        found.push(Problem::new("tcp-server.cores", message));
    }
    interface(server, found);
    if let Some(size) = server.registered_memory {
        let key = "tcp-server.registered-memory";
        if server.provider == Provider::Kernel {
            found.push(Problem::new(key, WITHOUT_DIRECT));
        }
        size_within(key.into(), size, Size(0), Size(64 << 30), found);
    }
    if server.offload == Directions::Receive && server.provider == Provider::Direct {
        let message = "expected \"send+receive\" beside provider = \"direct\", found \"receive\"; the kernel has no \
             connection there on which an application could send";
        found.push(Problem::new("tcp-server.offload", message));
    }
    let limits = &server.limits;
    for (key, size, least, most) in [
        ("ring", server.ring, *RING.start(), *RING.end()),
        ("limits.memory", Size(limits.memory), Size::mib(4), Size(1 << 44)),
        ("limits.registered", Size(limits.registered), Size(0), Size(1 << 44)),
        ("limits.objects", Size(limits.objects), Size(0), Size(1 << 44)),
    ] {
        size_within(format!("tcp-server.{key}"), size, least, most, found);
    }
    let (least, most) = (Span::seconds(0), Span::seconds(3600));
    span_within("tcp-server.grace-period".into(), server.grace_period, least, most, found);
}

/// Everything on this machine that `server` needs and that is not there.
pub(in crate::config) fn surroundings(server: &TcpServer, found: &mut Vec<Problem>) {
    // Directories in /run are made when the server starts, by itself or for it.
    if let Some(path) = &server.socket
        && !path.starts_with("/run")
    {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !parent.is_dir() {
            let message = format!("expected a directory {}, found none", parent.display());
            found.push(Problem::new("tcp-server.socket", message));
        }
    }
    if let Some(name) = &server.interface {
        found.extend(interface_problem("tcp-server.interface", name));
    }
}

/// What would have no effect beside it.
fn what_else(config: &Config, found: &mut Vec<Problem>) {
    let default = Config::default();
    let grace_period = default.limits.grace_period;
    for (key, is_told) in [
        ("listen", config.listen != default.listen),
        ("respond", config.respond != default.respond),
        ("transport", config.transport != default.transport),
        ("site", config.has_site()),
        ("accelerate", config.accelerate != default.accelerate),
        ("pools", !config.pools.is_empty()),
        ("sites", !config.sites.is_empty()),
        ("classes", !config.classes.is_empty()),
        ("overload", config.overload != default.overload),
        ("dns", config.dns.is_some()),
        ("cache", config.cache != default.cache),
        ("limits", Limits { grace_period, ..config.limits } != default.limits),
        ("workers", config.workers != default.workers),
        ("log", config.log != default.log),
    ] {
        if is_told {
            let message = "expected a file without [tcp-server] for it; one process does one thing";
            found.push(Problem::new(key, message));
        }
    }
    for (key, name, is_told) in [
        ("cores", "cores", config.cores != default.cores),
        ("io", "io", config.io != default.io),
        ("limits.grace-period", "grace-period", config.limits.grace_period != grace_period),
    ] {
        if is_told {
            found.push(Problem::new(key, format!("expected it in the section [tcp-server], as {name}")));
        }
    }
}

fn interface(server: &TcpServer, found: &mut Vec<Problem>) {
    match (server.provider, &server.interface) {
        (Provider::Direct, None) => {
            let message = "expected tcp-server.interface beside \"direct\", found none; \
                 ip link shows the interfaces, afpa doctor what they can do";
            found.push(Problem::new("tcp-server.provider", message));
        }
        (_, Some(name)) if !Direct::is_name(name) => {
            let message = format!("expected the name of an interface (at most 15 octets), found {name:?}");
            found.push(Problem::new("tcp-server.interface", message));
        }
        _ => {}
    }
}
