//! What is wrong with a configuration, in the words of the command line.

use crate::config::Problem;

/// A problem in the words of the command line: `--cache: expected …`.
pub fn in_flags(problem: &Problem) -> String {
    let setting = problem.key.split('[').next().unwrap_or_default();
    let flag = match setting {
        "listen" | "dns.listen" => "--listen",
        "site.root" => "DIR",
        "site.cache-control" => "--cache-control",
        "cache.size" | "dns.cache.size" => "--cache",
        "pools" => "URL",
        "dns.zones" => "--zone",
        "dns.backends" => "--backend",
        "limits.grace-period" => "--grace-period",
        "admin.listen" => "--admin",
        "log.path" => "--log-file",
        "transport" => "--transport",
        "direct.interface" => "--interface",
        "direct.frames" => "--frames",
        "direct.queues" => "--queues",
        "direct.handshake" => "--handshake",
        "direct.driver-handshake" => "--driver-handshake",
        "direct.driver-answers" => "--driver-answers",
        "direct.busy-poll" => "--busy-poll",
        "direct.checksum" => "--checksum",
        "direct.zero-copy" => "--zero-copy",
        "direct.congestion" => "--congestion",
        other => other,
    };
    let mut message = problem.message.clone();
    for (setting, flag) in [
        ("dns.listen", "--listen"),
        ("since listen has", "since --listen has"),
        ("admin.allow-remote", "--admin-allow-remote"),
        ("direct.interface", "--interface"),
        ("transport = \"direct\"", "--transport direct"),
        ("transport = \"sockets\"", "--transport sockets"),
    ] {
        message = message.replace(setting, flag);
    }
    format!("{flag}: {message}")
}
