//! memcached, with four threads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::free_address::free_address;
use crate::programs::{Daemon, PATIENCE, are_installed, octets};
use crate::stack::Stack;

pub(crate) fn memcached(stack: &Stack, address: SocketAddr) -> Daemon {
    let mut command = stack.run("memcached");
    command.args(["-l", "127.0.0.1", "-p", &address.port().to_string(), "-U", "0", "-t", "4", "-I", "8m"]);
    // It must not be root.
    command.args(["-u", "nobody"]);
    Daemon::start(command, address, &stack.file("memcached.log"))
}

/// A client of its text protocol.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Client {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    pub(crate) fn set(&mut self, key: &str, value: &[u8]) {
        self.send(format!("set {key} 0 0 {}\r\n", value.len()).as_bytes());
        self.send(value);
        self.send(b"\r\n");
        assert_eq!(self.line(), "STORED");
    }

    fn get(&mut self, key: &str) -> Vec<u8> {
        self.send(format!("get {key}\r\n").as_bytes());
        self.value(key).unwrap_or_else(|| panic!("{key} is not there"))
    }

    /// Reads an answer to `get`.
    fn value(&mut self, key: &str) -> Option<Vec<u8>> {
        let line = self.line();
        if line == "END" {
            return None;
        }
        let length = line.strip_prefix(&format!("VALUE {key} 0 ")).unwrap_or_else(|| panic!("{key}: {line}"));
        let mut value = vec![0; length.parse::<usize>().unwrap() + 2];
        self.stream.read_exact(&mut value).unwrap();
        value.truncate(value.len() - 2);
        assert_eq!(self.line(), "END");
        Some(value)
    }

    fn send(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

#[test]
fn memcached_keeps_values_for_many_connections() {
    if !are_installed(&["memcached"]) {
        return;
    }
    let stack = Stack::start();
    let server = memcached(&stack, free_address());
    std::thread::scope(|scope| {
        for number in 0..12 {
            let address = server.address;
            scope.spawn(move || {
                let mut client = Client::to(address);
                for length in [0, 1, 100, 1460, 4096, 16_384, 65_536, 100_000, 1 << 20] {
                    let (key, value) = (format!("key-{number}-{length}"), octets(number, length));
                    client.set(&key, &value);
                    assert!(client.get(&key) == value, "{key}");
                    // The thread of another connection has it as well.
                    assert!(Client::to(address).get(&key) == value, "{key}, elsewhere");
                }
            });
        }
    });
}

#[test]
fn memcached_answers_a_pipeline_in_order() {
    if !are_installed(&["memcached"]) {
        return;
    }
    let stack = Stack::start();
    let server = memcached(&stack, free_address());
    let mut client = Client::to(server.address);
    let mut requests = Vec::new();
    for number in 0..500 {
        requests.extend_from_slice(format!("set key-{number} 0 0 1000 noreply\r\n").as_bytes());
        requests.extend_from_slice(&octets(number, 1000));
        requests.extend_from_slice(b"\r\n");
    }
    client.send(&requests);
    let asked: String = (0..500).map(|number| format!("get key-{number}\r\n")).collect();
    client.send(asked.as_bytes());
    for number in 0..500 {
        assert!(client.value(&format!("key-{number}")).unwrap() == octets(number, 1000), "key-{number}");
    }
    client.send(b"get nothing\r\n");
    assert_eq!(client.value("nothing"), None);
    client.send(b"quit\r\n");
    assert_eq!(client.line(), "");
}
