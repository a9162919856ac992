//! The Howl of the AFPA paper (§4): a loop of accept, read, write and close over responses that
//! were generated beforehand. One request at a time, HTTP/1.0, and nothing else.

use crate::interrupt;
use anyhow::{Context, Result, bail};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

/// The most octets of documents that are held.
const MAX_MEMORY: u64 = 4 << 30;
/// The longest request that is read, in octets.
const MAX_REQUEST: usize = 16 * 1024;
/// How long a client may be silent; also how often signals are looked for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Longer than any benchmark's burst of connections.
const BACKLOG: i32 = 8192;

const NOT_FOUND: &[u8] = b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Every response, by the path that it answers.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    responses: HashMap<Vec<u8>, Vec<u8>>,
}

impl Documents {
    /// Reads all files under `root`, and makes a response of each: for an `origin`, one that may
    /// be cached.
    ///
    /// # Errors
    /// A file cannot be read, or they are more than 4 GiB.
    pub(crate) fn load(root: &Path, origin: bool) -> Result<Documents> {
        let head = match origin {
            true => "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=3600\r\n",
            false => "HTTP/1.0 200 OK\r\n",
        };
        let mut documents = Documents::default();
        documents.add(root, head, &mut Vec::new(), &mut 0)?;
        Ok(documents)
    }

    fn add(&mut self, directory: &Path, head: &str, prefix: &mut Vec<u8>, total: &mut u64) -> Result<()> {
        let context = || format!("cannot read {}", directory.display());
        for entry in fs::read_dir(directory).with_context(context)? {
            let entry = entry.with_context(context)?;
            let kind = entry.file_type().with_context(context)?;
            let length = prefix.len();
            prefix.push(b'/');
            prefix.extend_from_slice(entry.file_name().as_bytes());
            if kind.is_dir() {
                self.add(&entry.path(), head, prefix, total)?;
            } else if kind.is_file() {
                let body = fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
                *total += body.len() as u64;
                if *total > MAX_MEMORY {
                    bail!("the documents are more than 4 GiB");
                }
                let mut response = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
                response.extend_from_slice(&body);
                self.responses.insert(prefix.clone(), response);
            }
            prefix.truncate(length);
        }
        Ok(())
    }

    /// A single document.
    pub(crate) fn one(path: &str, body: &[u8]) -> Documents {
        let mut response = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        response.extend_from_slice(body);
        Documents { responses: HashMap::from([(path.as_bytes().to_vec(), response)]) }
    }

    fn answer(&self, request: &[u8]) -> &[u8] {
        let path = request.strip_prefix(b"GET ").and_then(|rest| rest.split(|&b| b == b' ').next());
        path.and_then(|path| self.responses.get(path)).map_or(NOT_FOUND, Vec::as_slice)
    }
}

/// Listens on `address` for [`serve`].
///
/// # Errors
/// The address is not ours to listen on.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listen = || -> io::Result<TcpListener> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        // Accepted sockets inherit the timeouts of a socket that has them before it listens, so
        // that bounding a silent client costs no system call.
        for timeout in [Timeout::Recv, Timeout::Send] {
            sockopt::set_socket_timeout(&socket, timeout, Some(PATIENCE))?;
        }
        net::bind(&socket, &address)?;
        net::listen(&socket, BACKLOG)?;
        Ok(socket.into())
    };
    listen().with_context(|| format!("cannot listen on {address}"))
}

/// Answers one connection after another until interrupted.
///
/// # Errors
/// The listener failed, or a signal came.
pub(crate) fn serve(listener: &TcpListener, documents: &Documents) -> Result<()> {
    let mut buffer = vec![0; MAX_REQUEST];
    loop {
        match listener.accept() {
            // A client that fails has only failed itself.
            Ok((client, _)) => drop(converse(client, documents, &mut buffer)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error).context("cannot accept"),
        }
        interrupt::check()?;
    }
}

fn converse(mut client: TcpStream, documents: &Documents, buffer: &mut [u8]) -> io::Result<()> {
    let mut length = 0;
    while !buffer[..length].ends_with(b"\r\n\r\n") {
        let count = client.read(&mut buffer[length..])?;
        if count == 0 {
            return Ok(());
        }
        length += count;
    }
    client.write_all(documents.answer(&buffer[..length]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn documents_are_answered_by_path_and_nothing_else_is() {
        let root = std::env::temp_dir().join(format!("afpa-howl-test-{}", std::process::id()));
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/b"), "body").unwrap();
        let documents = Documents::load(&root, false).unwrap();
        fs::remove_dir_all(root).unwrap();
        let expected = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(documents.answer(b"GET /a/b HTTP/1.1\r\n\r\n"), expected);
        for request in [
            &b"GET /a HTTP/1.1\r\n\r\n"[..],
            b"POST /a/b HTTP/1.1\r\n\r\n",
            b"\r\n\r\n",
            b"GET /a/b/../b HTTP/1.0\r\n\r\n",
        ] {
            assert_eq!(documents.answer(request), NOT_FOUND);
        }
    }

    #[test]
    fn a_client_gets_its_answer_and_then_the_end() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, &Documents::one("/x", b"body")));
        for _ in 0..2 {
            // A request in two pieces, from a client behind one that says nothing.
            let silent = TcpStream::connect(address).unwrap();
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"GET /x HTTP/1.1\r\n").unwrap();
            client.write_all(b"\r\n").unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with("\r\n\r\nbody"), "{answer}");
            drop(silent);
        }
    }
}
