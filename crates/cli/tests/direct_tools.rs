//! What helps with the direct transport, as a user starts it: the doctor and captures.

mod free_address;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;

use afpa_cli::admin::AdminServer;
use afpa_cli::capture::pcapng::{Blocks, Kind};
use afpa_cli::config::Admin;
use afpa_cli::stats::{Capture, CapturedFrame, Purge, Purged, Snapshot, Source, Taken};
use free_address::free_address;
use rustix::process::{Pid, Signal, kill_process};

fn afpa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_afpa")).args(arguments).output().unwrap()
}

#[test]
fn the_doctor_reports_on_this_machine_in_both_forms() {
    let output = afpa(&["doctor", "--interface", "lo", "--json"]);
    assert!(output.status.success(), "sockets work wherever these tests run");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sockets"], true);
    assert_eq!(report["direct"]["xdp"], false, "the loopback has no frames to take");
    let findings = report["findings"].as_array().unwrap();
    for part in ["kernel", "CPUs", "sockets, io_uring", "sockets, epoll", "direct, AF_XDP", "direct, TAP", "interface"]
    {
        let finding = findings.iter().find(|finding| finding["part"] == part).unwrap_or_else(|| panic!("{part}"));
        assert!(["ok", "limited", "not"].map(Some).contains(&finding["status"].as_str()), "{finding}");
        assert!(finding["says"].as_str().is_some_and(|says| !says.is_empty()), "{finding}");
    }

    let output = afpa(&["doctor"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for line in text.lines() {
        assert!(["ok ", "limited ", "not "].iter().any(|status| line.starts_with(status)), "{line}");
    }
    let missing = String::from_utf8(afpa(&["doctor", "--interface", "afpa-none"]).stdout).unwrap();
    assert!(missing.contains("No such device"), "{missing}");
}

/// A server whose capture has frames without end, or has none because its transport is sockets.
struct Fake {
    is_direct: bool,
}

struct Frames(u64);

impl Capture for Frames {
    fn interfaces(&self) -> Vec<String> {
        vec!["lab0".into()]
    }

    fn take(&mut self) -> Taken {
        self.0 += 1;
        let octets = vec![self.0 as u8; 60];
        Taken::Frame(CapturedFrame { unix_nanos: self.0, interface: 0, outgoing: false, length: 60, octets })
    }

    fn dropped(&self) -> u64 {
        0
    }
}

impl Source for Fake {
    fn snapshot(&self) -> Snapshot {
        Snapshot::default()
    }

    fn purge(&self, _: &Purge) -> Purged {
        Purged::default()
    }

    fn is_draining(&self) -> bool {
        false
    }

    fn capture(&self, _: usize) -> Option<Box<dyn Capture>> {
        self.is_direct.then(|| Box::new(Frames(0)) as Box<dyn Capture>)
    }
}

/// Runs an admin server for as long as this process lives.
fn admin(is_direct: bool) -> SocketAddr {
    let (sender, address) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let admin = Admin { listen: "127.0.0.1:0".parse().unwrap(), allow_remote: false };
            let server = AdminServer::bind(&admin, Arc::new(Fake { is_direct })).await.unwrap();
            sender.send(server.address().unwrap()).unwrap();
            server.serve().await;
        });
    });
    address.recv().unwrap()
}

/// The frames in a file, and whether it ends with the statistics.
fn frames(path: &Path) -> (usize, bool) {
    let mut blocks = Blocks::default();
    blocks.push(&std::fs::read(path).unwrap());
    let kinds: Vec<_> = std::iter::from_fn(|| blocks.next_block().unwrap().map(|block| block.kind)).collect();
    let frames = kinds.iter().filter(|kind| matches!(kind, Kind::Frame { .. })).count();
    (frames, matches!(kinds.last(), Some(Kind::Statistics { .. })))
}

#[test]
fn a_capture_is_a_file_of_as_many_frames_as_were_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcapng");
    let name = path.to_str().unwrap();
    let output = afpa(&["capture", name, "--admin", &admin(true).to_string(), "--count", "5000"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said), (Some(0), format!("afpa: 5000 frames in {name}, 0 lost\n")));
    assert_eq!(frames(&path), (5000, true));
}

#[test]
fn a_capture_that_is_interrupted_leaves_whole_frames() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcapng");
    let mut capture = Command::new(env!("CARGO_BIN_EXE_afpa"))
        .args(["capture", path.to_str().unwrap(), "--admin", &admin(true).to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = std::time::Instant::now();
    while !std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 100_000) {
        assert!(patience.elapsed().as_secs() < 30, "nothing is written");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&capture), Signal::INT).unwrap();
    assert_eq!(capture.wait().unwrap().code(), Some(0));
    assert!(frames(&path).0 > 1000);
}

#[test]
fn a_refused_capture_says_why_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcapng");
    let name = path.to_str().unwrap();
    let sockets = admin(false).to_string();
    let closed = free_address().to_string();
    let too_long = ["capture", name, "--admin", &sockets, "--duration", "2h"];
    let cases: [(&[&str], String); 3] = [
        (
            &["capture", name, "--admin", &sockets],
            "afpa: the server's transport is sockets, whose frames the kernel has: use tcpdump\n".into(),
        ),
        (
            &["capture", name, "--admin", &closed],
            format!(
                "afpa: no server answers at {closed}: Connection refused (os error 111) (start it with --admin, see \
                 its --help)\n"
            ),
        ),
        (&too_long, "afpa: milliseconds: expected a number from 1 to 3600000 (an hour), found 7200000\n".into()),
    ];
    for (arguments, expected) in cases {
        let output = afpa(arguments);
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(1), expected));
        assert!(!path.exists());
    }
}

#[test]
fn the_lab_needs_root_and_says_so() {
    // Root keeps its number and loses what it may do.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", env!("CARGO_BIN_EXE_afpa")]);
    if !rustix::process::geteuid().is_root() {
        command = Command::new(env!("CARGO_BIN_EXE_afpa"));
    }
    let output = command.args(["lab", "status"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("network namespaces need root (CAP_SYS_ADMIN and CAP_NET_ADMIN): sudo "), "{said}");
}
