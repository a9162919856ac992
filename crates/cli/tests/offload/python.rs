//! Servers in Python.

use std::net::SocketAddr;

use crate::free_address::free_address;
use crate::http::{Connection, get, request};
use crate::nginx::write_files;
use crate::programs::{Daemon, LENGTHS, are_installed, octets, output, python};
use crate::stack::Stack;

/// The file server of Python's library.
pub(crate) fn file_server(stack: &Stack, address: SocketAddr) -> Daemon {
    let mut command = python();
    command.args(["-u", "-m", "http.server", "--protocol", "HTTP/1.1", "--bind", "127.0.0.1", "--directory"]);
    command.arg(stack.file("files")).arg(address.port().to_string());
    Daemon::start(stack.offloaded(&command), address, &stack.file("python.log"))
}

#[test]
fn the_file_server_of_python_serves_files() {
    if !are_installed(&["python3", "curl"]) {
        return;
    }
    for stack in Stack::of_each_kind() {
        write_files(&stack);
        let server = file_server(&stack, free_address());
        let mut kept = Connection::to(server.address);
        for length in LENGTHS {
            let expected = octets(length as u64, length);
            assert!(get(server.address, &format!("/{length}")).body == expected, "{length} octets");
            assert!(kept.ask(request("GET", &format!("/{length}"), "", b"")).body == expected, "{length} octets, kept");
            let url = format!("http://{}/{length}", server.address);
            assert!(output(stack.run("curl").args(["-sS", &url])) == expected, "{length} octets to curl");
        }
    }
}

#[test]
fn asyncio_serves_streams() {
    if !are_installed(&["python3"]) {
        return;
    }
    const SERVER: &str = "
import asyncio, sys
async def echo(reader, writer):
    head = await reader.readuntil(b'\\r\\n\\r\\n')
    length = int(head.lower().split(b'content-length: ')[1].split(b'\\r\\n')[0])
    writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % length)
    while length > 0:
        octets = await reader.read(min(length, 50000))
        length -= len(octets)
        writer.write(octets)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(echo, '127.0.0.1', int(sys.argv[1]))
    async with server:
        await server.serve_forever()
asyncio.run(main())
";
    let stack = Stack::start();
    let address = free_address();
    let mut command = python();
    command.args(["-c", SERVER, &address.port().to_string()]);
    let server = Daemon::start(stack.offloaded(&command), address, &stack.file("asyncio.log"));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let address = server.address;
            scope.spawn(move || {
                for length in LENGTHS.into_iter().filter(|&length| (1..=200_000).contains(&length)) {
                    let body = octets(number, length);
                    let echoed = Connection::to(address).ask(request("POST", "/", "", &body));
                    assert!(echoed.body == body, "{length} octets");
                }
            });
        }
    });
}
