//! Each thing that is missing is one sentence that says so.

use std::path::Path;
use std::process::Output;

use crate::client::Client;
use crate::lab::{DEVICE, FRAMES, Lab, PORT, SERVER};
use crate::server::Server;

/// What the program is started by, where it listens, its other arguments, and parts of what it says.
type Case<'a> = (&'a [&'a str], &'a str, &'a [&'a str], &'a [&'a str]);

/// A program that takes the privileges away, and leaves root its number.
const UNPRIVILEGED: [&str; 3] = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];

#[test]
fn what_is_missing_is_said_in_a_sentence() {
    let Some(lab) = Lab::cable("wrong") else { return };
    let dir = tempfile::tempdir().unwrap();
    let here = format!("{SERVER}:{PORT}");
    let cases: [Case<'_>; 9] = [
        (&[], &here, &["--interface", "none0"], &["none0", "No such device", "ip link shows"]),
        (&[], &here, &["--interface", "lo"], &["lo", "no Ethernet frames; choose another"]),
        (&UNPRIVILEGED, &here, &["--interface", DEVICE], &["CAP_BPF", "CAP_NET_ADMIN", "run it as root"]),
        (&UNPRIVILEGED, &here, &["--interface", DEVICE, "--frames", "packet"], &["CAP_NET_RAW"]),
        (
            &[],
            "127.0.0.1:80",
            &["--interface", DEVICE, "--frames", "xdp"],
            &["no frame for 127.0.0.1:80", "--listen 10.77.0.1:80"],
        ),
        (&[], "10.77.0.9:80", &["--interface", DEVICE], &["no interface of this machine has this address"]),
        (&[], "unix:/tmp/x", &["--interface", DEVICE], &["Unix sockets need --transport sockets"]),
        (&[], &here, &["--interface", DEVICE, "--frames", "tap"], &["no TAP device"]),
        (&[], &here, &[], &["--interface", "ip link shows"]),
    ];
    for (prefix, listen, arguments, parts) in cases {
        refuses(&serve(&lab, dir.path(), prefix, listen, arguments), parts);
    }
    lab.server.ip(&["link", "set", DEVICE, "down"]);
    for frames in FRAMES {
        let output = serve(&lab, dir.path(), &[], &here, &["--interface", DEVICE, "--frames", frames]);
        refuses(&output, &["it is down; set it up: ip link set lab0 up"]);
    }
}

#[test]
fn an_interface_that_another_server_has_is_refused() {
    let Some(lab) = Lab::cable("taken") else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "<p>first").unwrap();
    let _server = Server::direct(&lab, dir.path(), &[]);
    let mut client = Client::connect(&lab.client, lab.address());
    let other = format!("{SERVER}:{}", PORT + 1);
    let output = serve(&lab, dir.path(), &[], &other, &["--interface", DEVICE, "--frames", "xdp"]);
    refuses(&output, &[DEVICE, "another XDP program is attached"]);
    assert_eq!(client.get("").body, b"<p>first", "the first server goes on");
}

#[test]
fn a_server_whose_interface_is_removed_ends_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "<p>here").unwrap();
    for frames in FRAMES {
        let Some(lab) = Lab::cable("removed") else { return };
        let server = Server::direct(&lab, dir.path(), &["--frames", frames]);
        let mut client = Client::connect(&lab.client, lab.address());
        assert_eq!(client.get("").body, b"<p>here");
        lab.server.ip(&["link", "delete", DEVICE]);
        let (status, said) = server.end();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("the interface is gone"), "{said}");
    }
}

/// Runs a server on the direct transport that cannot start.
fn serve(lab: &Lab, site: &Path, prefix: &[&str], listen: &str, arguments: &[&str]) -> Output {
    let program = [env!("CARGO_BIN_EXE_afpa"), "serve", site.to_str().unwrap(), "--listen", listen];
    let all = [prefix, &program, &["--transport", "direct"], arguments].concat();
    lab.server.command(all[0]).args(&all[1..]).output().unwrap()
}

fn refuses(output: &Output, parts: &[&str]) {
    let said = str::from_utf8(&output.stderr).unwrap();
    let is_sentence = said.starts_with("afpa: ") && said.trim_end().lines().count() == 1;
    assert!(is_sentence && output.status.code() == Some(1), "{:?}: {said}", output.status);
    assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} in {said}");
}
