//! A DNS server of the comparison, while it runs.

use super::peers::{BACKEND, Peer, Places};
use super::scenario::Role;
use super::zone::{self, Answer};
use crate::command::Running;
use crate::interrupt;
use crate::server::parse_pss;
use crate::topology::{CLIENT, SERVER, Topology};
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The port of the server, and that of the backend at the other end.
pub(super) const PORT: u16 = 5300;
const BACKEND_PORT: u16 = 5301;

/// How long a server may take until it answers as the zone says.
const START: Duration = Duration::from_secs(10);

/// Where things are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'t> {
    pub(super) topology: &'t Topology,
    /// The master file.
    pub(super) zone: &'t Path,
    /// Our program.
    pub(super) afpa: &'t Path,
}

/// A server that answers; it is stopped when dropped.
#[derive(Debug)]
pub(super) struct Server<'t> {
    topology: &'t Topology,
    _running: Running,
    run: PathBuf,
}

impl<'t> Server<'t> {
    /// Starts `peer` and waits until it answers every sample of the zone.
    ///
    /// # Errors
    /// It is not installed, cannot have that role, or does not answer as the zone says: the error holds what it said.
    pub(super) fn start(setting: Setting<'t>, peer: &Peer, role: Role) -> Result<Server<'t>> {
        Server::start_at(setting, peer, role, SERVER, PORT)
    }

    /// Starts the server behind the caches, at the client's end and on its CPU: once the caches have everything, it
    /// has nothing to do.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub(super) fn start_backend(setting: Setting<'t>) -> Result<Server<'t>> {
        let peer = Peer::by_name(BACKEND).context("no such server")?;
        Server::start_at(setting, peer, Role::Authority, CLIENT, BACKEND_PORT).context("the backend")
    }

    fn start_at(setting: Setting<'t>, peer: &Peer, role: Role, address: Ipv4Addr, port: u16) -> Result<Server<'t>> {
        let Setting { topology, zone, afpa } = setting;
        let end = if address == SERVER { &topology.server } else { &topology.client };
        let program = peer.path(afpa).map_err(anyhow::Error::msg)?;
        let run = topology.directory().join(format!("{}-{port}", peer.name));
        fs::create_dir_all(&run).with_context(|| format!("cannot create {}", run.display()))?;
        let backend = SocketAddrV4::new(CLIENT, BACKEND_PORT);
        let places = Places { zone, run: &run, address, port, device: &end.device, backend };
        if let Some((name, contents)) = peer.file {
            fs::write(run.join(name), places.fill(contents)).with_context(|| format!("cannot write {name}"))?;
        }
        let arguments = peer.arguments(role).with_context(|| format!("{} cannot be that", peer.name))?;
        let mut command = end.command(program);
        command.args(arguments.map(|argument| places.fill(argument)));
        let log = run.join("output");
        let output = fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log")?;
        let mut running = Running::start(command.stdout(Stdio::from(output)).stderr(Stdio::from(errors)))?;
        wait_until_right(topology, &mut running, SocketAddrV4::new(address, port), &log)?;
        Ok(Server { topology, _running: running, run })
    }

    /// The memory of all processes at the server's end in octets: the proportional set size.
    ///
    /// # Errors
    /// The system does not say.
    pub(super) fn memory(&self) -> Result<u64> {
        let processes = self.topology.server.processes()?.into_iter();
        // One that ends meanwhile has no memory any more.
        Ok(processes.filter_map(|id| parse_pss(&fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?)).sum())
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.run);
    }
}

fn wait_until_right(topology: &Topology, running: &mut Running, at: SocketAddrV4, log: &Path) -> Result<()> {
    let said = || fs::read_to_string(log).unwrap_or_default();
    let mut reason = String::new();
    let right = interrupt::wait_for(START, || {
        if let Some(status) = running.ended()? {
            bail!("ended at once ({status}): {}", said().trim());
        }
        let verified = verify(topology, at, false);
        reason = verified.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default();
        Ok(verified.ok())
    })?;
    right.with_context(|| format!("does not answer as it should after {START:?}: {reason}; it said: {}", said().trim()))
}

/// Asks the server at `at` every sample, from the client's end, and compares what comes back with the zone.
///
/// # Errors
/// It did not answer, or something else.
pub(super) fn verify(topology: &Topology, at: SocketAddrV4, over_tcp: bool) -> Result<()> {
    let samples = zone::samples();
    let mut command = topology.client.command("dig");
    command.arg(format!("@{}", at.ip())).args(["-p", &at.port().to_string()]);
    command.args(["+noall", "+comments", "+answer", "+nottlid", "+noedns", "+tries=1", "+time=1"]);
    command.arg(if over_tcp { "+tcp" } else { "+ignore" });
    command.args(samples.iter().flat_map(|sample| [sample.name.as_str(), sample.kind]));
    let output = command.output().context("cannot run dig")?;
    let answers = parse_answers(&String::from_utf8_lossy(&output.stdout));
    for (index, sample) in samples.iter().enumerate() {
        match answers.get(index) {
            Some(answer) if *answer == sample.answer => {}
            Some(answer) => bail!("{} {}: {answer:?} came, and not {:?}", sample.name, sample.kind, sample.answer),
            None => bail!("{} {}: no answer", sample.name, sample.kind),
        }
    }
    Ok(())
}

/// What dig printed: a header for each answer, then its records.
fn parse_answers(text: &str) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("->>HEADER<<-") {
            let status = rest.split_once("status: ").and_then(|(_, rest)| rest.split(',').next());
            answers.push(Answer { status: status.unwrap_or_default().to_owned(), records: Vec::new() });
        } else if !line.starts_with(';')
            && !line.trim().is_empty()
            && let Some(answer) = answers.last_mut()
        {
            answer.records.push(line.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_from_what_dig_prints() {
        let text = ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1\n;; flags: qr\n\n\
                    ;; ANSWER SECTION:\nhost.example.com.\tIN\tA 192.0.2.1\n\n\
                    ;; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 2\n;; flags: qr\n\n";
        let answer = |status: &str, records: &[&str]| Answer {
            status: status.to_owned(),
            records: records.iter().map(|record| (*record).to_owned()).collect(),
        };
        let expected = [answer("NOERROR", &["host.example.com. IN A 192.0.2.1"]), answer("NXDOMAIN", &[])];
        assert_eq!(parse_answers(text), expected);
        assert_eq!(parse_answers(";; no servers could be reached\n"), []);
    }
}
