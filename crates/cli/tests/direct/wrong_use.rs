//! Each thing that is missing is one sentence that says so.

use crate::lab::{DEVICE, Lab, PORT, SERVER};
use crate::server::Server;

#[test]
fn what_is_missing_is_said_in_a_sentence() {
    let Some(lab) = Lab::cable("wrong") else { return };
    let dir = tempfile::tempdir().unwrap();
    let listen = format!("{SERVER}:{PORT}");
    let site = dir.path().to_str().unwrap();
    let afpa = env!("CARGO_BIN_EXE_afpa");
    let serve = |prefix: &[&str], more: &[&str]| {
        let program = [prefix, &[afpa, "serve", site, "--listen", &listen, "--transport", "direct"], more].concat();
        let output = lab.server.command(program[0]).args(&program[1..]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let is_sentence = said.starts_with("afpa: ") && said.trim_end().lines().count() == 1;
        assert!(is_sentence && output.status.code() == Some(1), "{more:?}: {:?}: {said}", output.status);
        said
    };
    let said = serve(&[], &["--interface", "none0"]);
    assert!(said.contains("none0") && said.contains("No such device"), "{said}");
    let said = serve(&[], &["--interface", "lo"]);
    assert!(said.contains("lo"), "{said}");
    let unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let said = serve(&unprivileged, &["--interface", DEVICE]);
    assert!(said.contains("CAP_"), "{said}");
    // Another server has the interface, at another port.
    {
        let other = format!("{SERVER}:{}", PORT + 1);
        let arguments = ["serve", site, "--listen", &other, "--transport", "direct", "--interface", DEVICE];
        let _server = Server::start(&lab, &arguments);
        let said = serve(&[], &["--interface", DEVICE, "--frames", "xdp"]);
        assert!(said.contains(DEVICE) && said.contains("program"), "{said}");
    }
    lab.server.ip(&["link", "set", DEVICE, "down"]);
    let said = serve(&[], &["--interface", DEVICE]);
    assert!(said.contains(&format!("ip link set {DEVICE} up")), "{said}");
}
