//! A place to try the direct transport in: two network namespaces joined by a virtual cable.
//!
//! ```text
//!   afpa-lab-server                     afpa-lab-client
//!   10.77.0.1, fd77::1 ── lab0 ═ lab0 ── 10.77.0.2, fd77::2
//! ```
//!
//! Nothing of the machine's own network is touched. Only namespaces of these names are removed.

use std::fmt::Write;
use std::io;
use std::process::Command;

use rustix::thread::{CapabilitySet, capabilities};

use crate::args::LabCommand;

/// The interface at each end.
const DEVICE: &str = "lab0";

/// Does what `afpa lab` was told, and returns what there is to say.
///
/// # Errors
/// Privilege or a tool is missing, or the kernel refuses something: a sentence.
pub fn execute(command: LabCommand) -> Result<String, String> {
    may_change_the_network()?;
    let lab = Lab::named("afpa-lab");
    match command {
        LabCommand::Up { mtu } => lab.up(mtu),
        LabCommand::Down => lab.down(),
        LabCommand::Status => lab.status(),
    }
}

fn may_change_the_network() -> Result<(), String> {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
    let is_permitted = capabilities(None).is_ok_and(|sets| sets.effective.contains(needed));
    let program = program();
    if is_permitted {
        Ok(())
    } else {
        Err(format!("network namespaces need root (CAP_SYS_ADMIN and CAP_NET_ADMIN): sudo {program} lab up"))
    }
}

/// Two namespaces and the cable between them.
struct Lab {
    ends: [End; 2],
}

struct End {
    namespace: String,
    ipv4: &'static str,
    ipv6: &'static str,
}

impl Lab {
    /// The lab whose namespaces' names begin with `prefix`.
    fn named(prefix: &str) -> Lab {
        Lab {
            ends: [
                End { namespace: format!("{prefix}-server"), ipv4: "10.77.0.1", ipv6: "fd77::1" },
                End { namespace: format!("{prefix}-client"), ipv4: "10.77.0.2", ipv6: "fd77::2" },
            ],
        }
    }

    /// Makes what is missing.
    fn up(&self, mtu: u16) -> Result<String, String> {
        for end in &self.ends {
            if !end.exists()? {
                ip(["netns", "add", &end.namespace])?;
            }
        }
        let [server, client] = &self.ends;
        if !server.has_cable() || !client.has_cable() {
            // Half a cable is on its way out: its other end's namespace was removed.
            for end in self.ends.iter().filter(|end| end.has_cable()) {
                end.cut_cable();
            }
            let near = ["-n", &server.namespace, "link", "add", DEVICE, "type", "veth"];
            ip(near.into_iter().chain(["peer", "name", DEVICE, "netns", &client.namespace]))?;
        }
        let mut remarks = Vec::new();
        for end in &self.ends {
            end.raise(mtu)?;
            end.tune(&mut remarks);
        }
        remarks.dedup();
        Ok(self.instructions(mtu, &remarks))
    }

    fn instructions(&self, mtu: u16, remarks: &[String]) -> String {
        let [server, client] = &self.ends;
        let (program, address) = (program(), server.ipv4);
        let mut said = format!("The lab is up: {DEVICE} at both ends, MTU {mtu}.\n");
        self.ends.iter().for_each(|end| said.push_str(&end.line()));
        for remark in remarks {
            let _ = writeln!(said, "Remark: {remark}.");
        }
        let _ = write!(
            said,
            "\nServe this directory, in one terminal:\n  \
             ip netns exec {} {program} serve . --listen {address}:8080 --transport direct --interface {DEVICE}\n\
             Fetch from it, in another:\n  \
             ip netns exec {} curl http://{address}:8080/\n\
             See what works there:\n  \
             ip netns exec {} {program} doctor --interface {DEVICE}\n\
             Remove it:\n  \
             {program} lab down\n",
            server.namespace, client.namespace, server.namespace
        );
        said
    }

    /// Removes what is there.
    fn down(&self) -> Result<String, String> {
        let mut said = String::new();
        for end in &self.ends {
            if !end.exists()? {
                continue;
            }
            let processes = end.processes();
            // With the cable first: processes keep a namespace that has lost its name.
            end.cut_cable();
            ip(["netns", "delete", &end.namespace])?;
            let _ = writeln!(said, "{} is removed.", end.namespace);
            if !processes.is_empty() {
                let list = processes.join(" ");
                let _ = writeln!(said, "These processes still run in it, without the cable: {list}");
            }
        }
        Ok(if said.is_empty() { "There is no lab.\n".into() } else { said })
    }

    fn status(&self) -> Result<String, String> {
        let mut said = String::new();
        for end in &self.ends {
            if !end.exists()? {
                let _ = writeln!(said, "{}: not there; {} lab up makes it", end.namespace, program());
                continue;
            }
            match ip(["-n", &end.namespace, "-brief", "address", "show", DEVICE]) {
                Ok(line) => {
                    let words: Vec<_> = line.split_whitespace().collect();
                    let _ = writeln!(said, "{}: {}", end.namespace, words.join(" "));
                }
                Err(_) => {
                    let _ = writeln!(said, "{}: without {DEVICE}; {} lab up makes it", end.namespace, program());
                }
            }
            let processes = end.processes();
            if !processes.is_empty() {
                let _ = writeln!(said, "  runs processes {}", processes.join(" "));
            }
        }
        Ok(said)
    }
}

impl End {
    fn exists(&self) -> Result<bool, String> {
        let list = ip(["netns", "list"])?;
        Ok(list.lines().any(|line| line.split(' ').next() == Some(&self.namespace)))
    }

    fn has_cable(&self) -> bool {
        ip(["-n", &self.namespace, "link", "show", DEVICE, "type", "veth"]).is_ok_and(|shown| !shown.is_empty())
    }

    /// It may be gone already.
    fn cut_cable(&self) {
        let _ = ip(["-n", &self.namespace, "link", "delete", DEVICE]);
    }

    fn processes(&self) -> Vec<String> {
        ip(["netns", "pids", &self.namespace]).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    fn raise(&self, mtu: u16) -> Result<(), String> {
        let namespace = &self.namespace;
        ip(["-n", namespace, "link", "set", "lo", "up"])?;
        ip(["-n", namespace, "link", "set", DEVICE, "mtu", &mtu.to_string(), "up"])?;
        ip(["-n", namespace, "address", "replace", &format!("{}/24", self.ipv4), "dev", DEVICE])?;
        Ok(())
    }

    /// What makes the lab fair or complete, and is not needed: each thing that cannot be had is a remark.
    fn tune(&self, remarks: &mut Vec<String>) {
        let namespace = &self.namespace;
        // Duplicate address detection would keep the address back for a second.
        let ipv6 = format!("{}/64", self.ipv6);
        if ip(["-n", namespace, "address", "replace", &ipv6, "dev", DEVICE, "nodad"]).is_err() {
            remarks.push("this machine has no IPv6".into());
        }
        // A virtual cable polls, and so receives in a context of its own, only while GRO is on and what
        // arrives is not cut in advance.
        let features = ["ethtool", "-K", DEVICE, "gro", "on", "tso", "off"];
        if ip(["netns", "exec", namespace].into_iter().chain(features)).is_err() {
            remarks.push("ethtool is not installed, so GRO and TSO are as the kernel sets them".into());
        }
        // sysfs shows the devices of the namespace in which it was mounted, hence the shell in there.
        let threaded = format!("echo 1 > /sys/class/net/{DEVICE}/threaded");
        if ip(["netns", "exec", namespace, "sh", "-c", &threaded]).is_err() {
            remarks.push("this kernel has no threaded NAPI, so whoever sends also pays for receiving".into());
        }
    }

    fn line(&self) -> String {
        format!("  {}  {}/24, {}/64\n", self.namespace, self.ipv4, self.ipv6)
    }
}

/// This program, as its user called it.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "afpa".into())
}

/// Runs `ip` and returns its standard output.
fn ip<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let output = Command::new("ip").args(&arguments).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "the lab is made by ip, which is not installed: apt install iproute2".into(),
        _ => format!("ip cannot be run: {error}"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", arguments.join(" "), reason.trim().replace('\n', "; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lab of this test's own, removed at the end.
    struct Own(Lab);

    impl Own {
        /// Absent, and said so, if this machine cannot have one; with CI=true it must.
        fn new(name: &str) -> Option<Own> {
            let missing = may_change_the_network().err().or_else(|| ip(["netns", "list"]).err());
            if let Some(reason) = missing {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
                eprintln!("skipped: {reason}");
                return None;
            }
            Some(Own(Lab::named(&format!("afpa-lab-{name}-{}", std::process::id()))))
        }
    }

    impl Drop for Own {
        fn drop(&mut self) {
            let _ = self.0.down();
        }
    }

    #[test]
    fn it_comes_up_carries_packets_changes_and_goes() {
        let Some(Own(lab)) = &Own::new("up") else { return };
        assert_eq!(lab.down(), Ok("There is no lab.\n".into()));
        let said = lab.up(1500).unwrap();
        let [server, client] = &lab.ends;
        for command in [
            format!("  ip netns exec {} {} serve . --listen 10.77.0.1:8080 ", server.namespace, program()),
            format!("  ip netns exec {} curl http://10.77.0.1:8080/\n", client.namespace),
        ] {
            assert!(said.contains(&command), "{command} in\n{said}");
        }
        // A port at which nobody listens answers with a reset: over the cable, and not from here.
        let knock = "exec 3<>/dev/tcp/10.77.0.1/9";
        let refused = ip(["netns", "exec", &client.namespace, "bash", "-c", knock]).unwrap_err();
        assert!(refused.contains("Connection refused"), "{refused}");

        assert!(lab.up(9000).unwrap().contains("MTU 9000"), "a second time changes what is to change");
        let link = ip(["-n", &server.namespace, "link", "show", DEVICE]).unwrap();
        assert!(link.contains("mtu 9000"), "{link}");
        let status = lab.status().unwrap();
        assert!(status.contains("10.77.0.1/24") && status.contains("10.77.0.2/24"), "{status}");

        let removed = lab.down().unwrap();
        assert_eq!(removed, format!("{} is removed.\n{} is removed.\n", server.namespace, client.namespace));
        assert!(lab.status().unwrap().contains("not there"));
    }

    #[test]
    fn half_a_lab_is_made_whole_and_processes_in_it_are_named() {
        let Some(Own(lab)) = &Own::new("half") else { return };
        lab.up(1500).unwrap();
        ip(["netns", "delete", &lab.ends[1].namespace]).unwrap();
        lab.up(1500).unwrap();
        assert!(lab.ends.iter().all(End::has_cable));
        let mut sleeper =
            Command::new("ip").args(["netns", "exec", &lab.ends[0].namespace, "sleep", "600"]).spawn().unwrap();
        let patience = std::time::Instant::now();
        while lab.ends[0].processes().is_empty() {
            assert!(patience.elapsed().as_secs() < 30, "nothing runs in the namespace");
            std::thread::yield_now();
        }
        let removed = lab.down().unwrap();
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert!(removed.contains(&format!("without the cable: {}\n", sleeper.id())), "{removed}");
    }
}
