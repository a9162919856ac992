//! lighttpd.

use std::fs;
use std::net::SocketAddr;

use rustix::process::Signal;

use crate::free_address::free_address;
use crate::http::{Connection, origin, request};
use crate::nginx::{assert_serves_files, write_files};
use crate::programs::{Daemon, LENGTHS, are_installed, octets};
use crate::stack::Stack;

pub(crate) fn lighttpd(stack: &Stack, address: SocketAddr, settings: &str) -> Daemon {
    let file = stack.file("lighttpd.conf");
    let at = stack.directory().display();
    let text = format!(
        "server.bind = \"127.0.0.1\"\nserver.port = {}\nserver.document-root = \"{at}/files\"\n\
         server.upload-dirs = ( \"{at}\" )\nserver.max-keep-alive-requests = 1000\n{settings}\n",
        address.port()
    );
    fs::write(&file, text).unwrap();
    let mut command = stack.run("lighttpd");
    command.arg("-D").arg("-f").arg(&file);
    Daemon::start(command, address, &stack.file("lighttpd.log"))
}

#[test]
fn lighttpd_serves_files_however_it_waits_and_writes() {
    if !are_installed(&["lighttpd"]) {
        return;
    }
    let stack = Stack::start();
    write_files(&stack);
    for (handler, backend) in [("linux-sysepoll", "sendfile"), ("poll", "writev"), ("select", "write")] {
        let settings = format!("server.event-handler = \"{handler}\"\nserver.network-backend = \"{backend}\"");
        let mut server = lighttpd(&stack, free_address(), &settings);
        assert_serves_files(server.address);
        server.signal(Signal::INT);
        assert!(server.end().success(), "{}", server.said());
    }
}

#[test]
fn lighttpd_is_a_proxy_for_what_is_posted() {
    if !are_installed(&["lighttpd"]) {
        return;
    }
    let stack = Stack::start();
    write_files(&stack);
    let backend = origin();
    let settings = format!(
        "server.modules += ( \"mod_proxy\" )\nproxy.server = ( \"\" => (( \"host\" => \"{}\", \"port\" => {} )) )",
        backend.ip(),
        backend.port()
    );
    let server = lighttpd(&stack, free_address(), &settings);
    let mut connection = Connection::to(server.address);
    for length in LENGTHS.into_iter().filter(|&length| length > 0) {
        let echoed = connection.ask(request("POST", "/", "", &octets(3, length)));
        assert!(echoed.status == 200 && echoed.body == octets(3, length), "{length} octets: {}", echoed.head);
        let response = connection.ask(request("GET", &format!("/{length}"), "", b""));
        assert!(response.body == octets(length as u64, length), "{length} octets: {}", response.head);
    }
}
