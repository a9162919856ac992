//! `afpa-bench web`: the simple web server of the TCP Servers paper (§5.1.1): threads that answer from memory, in as
//! few socket calls as it takes.
//!
//! What it asks of sockets stands behind [`Sockets`], so that the same server runs on the kernel's and on others. The
//! kernel's are called through the C library, which `afpa offload` can stand in for.

mod documents;
mod kernel;
mod memnet;
mod request;
mod server;
mod sockets;

use crate::interrupt;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use documents::Documents;
use kernel::Kernel;
use memnet::MemNet;
use server::Server;
use sockets::Sockets;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

/// Serves files from memory: the simple web server of the TCP Servers paper.
///
/// HTTP/1.0 with a connection for each request, unless it asks for more, and HTTP/1.1 with requests one after another,
/// also before the earlier ones are answered.
#[derive(Args, Clone, Debug)]
pub(crate) struct WebArgs {
    /// The files, all read into memory at the start
    root: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Threads, each with connections of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Whose sockets
    #[arg(long, value_enum, default_value_t = Family::Kernel)]
    sockets: Family,
    /// Where the TCP server of the memnet sockets is
    #[arg(long, value_name = "PATH", required_if_eq_any = [("sockets", "memnet-sync"), ("sockets", "memnet-async")])]
    tcp_server: Option<PathBuf>,
}

/// Whose sockets a server uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Family {
    /// The kernel's
    Kernel,
    /// A TCP server's, and a send waits until the octets are the server's
    MemnetSync,
    /// A TCP server's, and a send is a job
    MemnetAsync,
}

impl WebArgs {
    /// A server with one thread.
    pub(crate) fn new(root: PathBuf, listen: SocketAddr) -> WebArgs {
        WebArgs { root, listen, threads: 1, sockets: Family::Kernel, tcp_server: None }
    }

    /// Serves until interrupted.
    ///
    /// # Errors
    /// The files cannot be read, or the address not be listened to.
    pub(crate) fn run(&self) -> Result<()> {
        let documents = Documents::load(&self.root)?;
        if let Some(path) = &self.tcp_server {
            memnet::attach(path).with_context(|| format!("cannot attach to the TCP server at {}", path.display()))?;
        }
        match self.sockets {
            Family::Kernel => self.serve::<Kernel>(documents),
            Family::MemnetSync => self.serve::<MemNet<true>>(documents),
            Family::MemnetAsync => self.serve::<MemNet<false>>(documents),
        }
    }

    fn serve<S: Sockets>(&self, (index, octets): (Documents, Vec<u8>)) -> Result<()> {
        let memory = S::register(octets).context("cannot register the documents")?;
        let listen = || S::listen(self.listen).with_context(|| format!("cannot listen on {}", self.listen));
        let sockets = (0..self.threads).map(|_| listen()).collect::<Result<Vec<_>>>()?;
        thread::scope(|scope| {
            let serve = |sockets| Server::new(sockets, &memory, &index).run();
            let threads: Vec<_> = sockets.into_iter().map(|sockets| scope.spawn(move || serve(sockets))).collect();
            for thread in threads {
                match thread.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("a thread of the server panicked"),
                }
            }
            interrupt::check()
        })
    }
}
