//! Servers and clients in Node.js.

use std::fs;
use std::net::SocketAddr;

use crate::free_address::free_address;
use crate::http::{Connection, origin, request};
use crate::programs::{Daemon, LENGTHS, are_installed, octets, program, text};
use crate::stack::Stack;

/// Answers `GET /LENGTH` with so many zeros, and a POST with what is posted.
const SERVER: &str = "
const http = require('http');
http.createServer((request, response) => {
    if (request.method === 'POST') {
        if (request.headers['content-length']) response.setHeader('Content-Length', request.headers['content-length']);
        request.pipe(response);
    } else {
        response.end(Buffer.alloc(Number(request.url.slice(1)) || 0));
    }
}).listen(Number(process.argv[2]), '127.0.0.1');
";

pub(crate) fn node(stack: &Stack, address: SocketAddr) -> Daemon {
    let file = stack.file("server.js");
    fs::write(&file, SERVER).unwrap();
    let mut command = stack.run("node");
    command.arg(file).arg(address.port().to_string());
    Daemon::start(command, address, &stack.file("node.log"))
}

#[test]
fn node_echoes_what_is_posted() {
    if !are_installed(&["node"]) {
        return;
    }
    let stack = Stack::start();
    let server = node(&stack, free_address());
    let mut kept = Connection::to(server.address);
    for length in LENGTHS.into_iter().filter(|&length| length > 0) {
        // Request and answer at once: who only writes would wait for ever.
        let body = octets(9, length);
        if length <= 1 << 20 {
            let echoed = kept.ask(request("POST", "/", "", &body));
            assert!(echoed.status == 200 && echoed.body == body, "{length} octets: {}", echoed.head);
        }
        assert!(kept.ask(request("GET", &format!("/{length}"), "", b"")).body == vec![0; length], "{length} zeros");
    }
    std::thread::scope(|scope| {
        for number in 0..20 {
            let address = server.address;
            scope.spawn(move || {
                let body = octets(number, 100_000);
                assert!(Connection::to(address).ask(request("POST", "/", "", &body)).body == body);
            });
        }
    });
}

#[test]
fn a_client_in_node_gets_what_the_server_has() {
    if !are_installed(&["node"]) {
        return;
    }
    const CLIENT: &str = "
const http = require('http'), crypto = require('crypto');
const agent = new http.Agent({ keepAlive: true, maxSockets: 6 });
const get = length => new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port: process.argv[2], path: `/${length}`, agent }, response => {
        const hash = crypto.createHash('sha256');
        response.on('data', octets => hash.update(octets)).on('end', () => resolve(hash.digest('hex')));
    }).on('error', reject);
});
Promise.all(Array.from({ length: 100 }, (_, n) => get(n * 9973))).then(hashes => {
    console.log(hashes.join(' '));
    agent.destroy();
});
";
    let stack = Stack::start();
    let file = stack.file("client.js");
    fs::write(&file, CLIENT).unwrap();
    let port = origin().port().to_string();
    let expected = text(program("node").arg(&file).arg(&port));
    assert_eq!(text(stack.run("node").arg(&file).arg(&port)), expected);
    let server = node(&stack, free_address());
    let port = server.address.port().to_string();
    assert_eq!(text(stack.run("node").arg(&file).arg(&port)), text(program("node").arg(&file).arg(&port)));
}
