//! Unmodified programs on our own TCP, on the frames of a cable: Linux's own TCP is at its other end. Needs root.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Instant;

use memnet::{Attachment, Listener, Options};
use rustix::process::Signal;

use crate::http::get;
use crate::lab::{DEVICE, FRAMES, Lab, SERVER, SERVER_V6, has_ipv6};
use crate::nginx::{assert_serves_files, nginx_until, write_files};
use crate::programs::{LENGTHS, PATIENCE, are_installed, eventually, is_listening, octets, output, python};
use crate::stack::{ADMIN, Stack, is_plain};

#[test]
fn nginx_serves_files_through_a_cable_and_to_its_own_machine() {
    if !are_installed(&["nginx", "curl"]) {
        return;
    }
    let Some(lab) = lab("files") else { return };
    let any: SocketAddr = "0.0.0.0:8080".parse().unwrap();
    // Of both families, if this machine has both.
    let both = if has_ipv6() { "[::]:8081 ipv6only=off" } else { "0.0.0.0:8081" };
    for frames in FRAMES {
        let mut stack = Stack::start_direct(&lab, frames);
        write_files(&stack);
        for settings in ["sendfile on; tcp_nopush on;", "sendfile off;"] {
            let settings = format!("listen {both}; {settings}");
            let mut server = nginx_until(&stack, any, &settings, || reaches(&lab, 8080));
            lab.client.inside(|| {
                assert_serves_files(at(8080));
                if has_ipv6() {
                    assert_serves_files((SERVER_V6.parse::<Ipv6Addr>().unwrap(), 8081).into());
                }
            });
            for length in LENGTHS {
                let expected = octets(length as u64, length);
                let url = format!("http://{SERVER}:8081/{length}");
                assert!(output(lab.client.command("curl").args(["-sS", &url])) == expected, "{frames}: {url}");
                let url = format!("http://127.0.0.1:8081/{length}");
                assert!(output(lab.server.command("curl").args(["-sS", &url])) == expected, "to itself: {url}");
            }
            server.signal(Signal::QUIT);
            assert!(server.end().success(), "{}", server.said());
        }
        let whole: u64 = LENGTHS.iter().map(|length| *length as u64).sum();
        assert!(octets_out(&lab) > whole, "the files have left by our own TCP");
        stack.assert_healthy();
    }
}

#[test]
fn a_port_comes_and_goes_and_the_kernel_has_what_is_not_ours() {
    let Some(lab) = lab("ports") else { return };
    for frames in FRAMES {
        let mut stack = Stack::start_direct(&lab, frames);
        let mut kernels = Echo::start(lab.server.command(python().get_program()), &[7001]);
        let mut ours = Echo::start(stack.run("python3"), &[7002, 7003]);
        let mut kept = connect(&lab, 7002).unwrap();
        for port in [7001, 7002, 7003] {
            assert_echoes(&mut connect(&lab, port).unwrap(), 300_000);
        }
        // A listener that is closed: its connections live on, and there are no new ones.
        ours.tell("close 7002");
        eventually("the end of the listener", || connect(&lab, 7002).is_err());
        assert_echoes(&mut kept, 300_000);
        assert_echoes(&mut connect(&lab, 7003).unwrap(), 1000);
        // When they are over, the kernel has the port.
        drop(kept);
        kernels.tell("open 7002");
        eventually("that the kernel has the port", || echoes(&lab, 7002));
        kernels.tell("close 7002");
        ours.tell("open 7002");
        let before = octets_out(&lab);
        assert_echoes(&mut connect(&lab, 7002).unwrap(), 300_000);
        assert!(octets_out(&lab) >= before + 300_000, "it is ours again");
        assert_echoes(&mut connect(&lab, 7001).unwrap(), 1000);
        stack.assert_healthy();
    }
}

#[test]
fn an_application_that_dies_amid_a_transfer_takes_nothing_with_it() {
    let Some(lab) = lab("death") else { return };
    for frames in FRAMES {
        let mut stack = Stack::start_direct(&lab, frames);
        let witness = Echo::start(stack.run("python3"), &[7003]);
        let mut kept = connect(&lab, 7003).unwrap();
        let victim = Echo::start(stack.run("python3"), &[7002]);
        let mut stream = connect(&lab, 7002).unwrap();
        // More than all buffers hold: it is amid sending when it is killed.
        stream.set_nonblocking(true).unwrap();
        eventually("that nothing more is taken", || match stream.write(&[7; 65_536]) {
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
        stream.set_nonblocking(false).unwrap();
        drop(victim);
        let end = stream.read_to_end(&mut Vec::new());
        assert!(end.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::ConnectionReset), "{end:?}");
        assert_echoes(&mut kept, 300_000);
        let kernels = Echo::start(lab.server.command(python().get_program()), &[7002]);
        eventually("that the kernel has the port", || echoes(&lab, 7002));
        drop((kernels, witness));
        stack.assert_healthy();
    }
}

#[test]
fn a_killed_server_leaves_the_interface_as_it_was() {
    let Some(lab) = lab("killed") else { return };
    for frames in FRAMES {
        let mut stack = Stack::start_direct(&lab, frames);
        let _ours = Echo::start(stack.run("python3"), &[7002]);
        assert_echoes(&mut connect(&lab, 7002).unwrap(), 1000);
        stack.kill_server();
        eventually("that no program is left", || !lab.server.ip(&["-d", "link", "show", DEVICE]).contains("prog"));
        let _kernels = Echo::start(lab.server.command(python().get_program()), &[7001]);
        assert_echoes(&mut connect(&lab, 7001).unwrap(), 300_000);
        stack.start_successor();
        let _ours = Echo::start(stack.run("python3"), &[7004]);
        assert_echoes(&mut connect(&lab, 7004).unwrap(), 300_000);
        stack.assert_healthy();
    }
}

#[test]
fn the_kernels_tcp_is_the_same_when_it_receives_on_the_engines_cores() {
    if !are_installed(&["ethtool"]) {
        return;
    }
    let Some(lab) = lab("receiving") else { return };
    lab.server.shell(&format!("ethtool -K {DEVICE} gro on"));
    let mut stack = Stack::start_receiving(&lab);
    let _ours = Echo::start(stack.run("python3"), &[7002]);
    assert_echoes(&mut connect(&lab, 7002).unwrap(), 3_000_000);
    stack.kill_server();
    stack.start_successor();
    let _ours = Echo::start(stack.run("python3"), &[7003]);
    assert_echoes(&mut connect(&lab, 7003).unwrap(), 3_000_000);
    stack.assert_healthy();
    // So that it puts the interface back.
    stack.end_server();
}

#[test]
fn objects_that_are_published_leave_by_our_own_tcp() {
    let Some(lab) = lab("objects") else { return };
    let until = || Some(Instant::now() + PATIENCE);
    for frames in FRAMES {
        let mut stack = Stack::start_direct(&lab, frames);
        let attachment = Attachment::attach(&stack.socket(), "objects").unwrap();
        let content = octets(7, 1_000_000);
        attachment.publish(b"/a", &content).unwrap();
        let object = attachment.object(b"/a").unwrap().unwrap();
        let listener = lab.server.inside(|| Listener::bind(&attachment, at(7005), &Options::default())).unwrap();
        let before = octets_out(&lab);
        let mut peer = connect(&lab, 7005).unwrap();
        let socket = listener.sync_accept(until()).unwrap();
        let mut expected = Vec::<u8>::new();
        let jobs = [(0, 1_000_000), (12_345, 500_000), (999_999, 1)].map(|(start, length)| {
            expected.extend(b"head");
            expected.extend(&content[start..start + length]);
            assert_eq!(socket.sync_send(b"head", until()).unwrap(), 4);
            socket.send_object(&object, start as u64, length as u64).unwrap()
        });
        // What is sent stays, whatever becomes of it.
        assert!(attachment.purge(b"/a").unwrap());
        attachment.publish(b"/a", &vec![0; 1_000_000]).unwrap();
        let mut arrived = vec![0; expected.len()];
        peer.read_exact(&mut arrived).unwrap();
        assert!(arrived == expected, "{frames}");
        jobs.into_iter().for_each(|job| assert!(job.wait().0.unwrap() > 0));
        assert!(octets_out(&lab) >= before + 1_500_000, "our own TCP has sent it");
        stack.assert_healthy();
    }
}

/// A cable, if there is something to test on it.
pub(crate) fn lab(test: &str) -> Option<Lab> {
    if is_plain() {
        println!("skipped: there is no TCP server");
        return None;
    }
    Lab::cable(&format!("offload-{test}"))
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::new(SERVER.parse().unwrap(), port)
}

fn reaches(lab: &Lab, port: u16) -> bool {
    lab.client.inside(|| is_listening(at(port)))
}

pub(crate) fn connect(lab: &Lab, port: u16) -> std::io::Result<TcpStream> {
    let stream = lab.client.inside(|| TcpStream::connect_timeout(&at(port), PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn echoes(lab: &Lab, port: u16) -> bool {
    let ask = || -> std::io::Result<[u8; 5]> {
        let mut stream = connect(lab, port)?;
        stream.write_all(b"there")?;
        let mut octets = [0; 5];
        stream.read_exact(&mut octets)?;
        Ok(octets)
    };
    ask().is_ok_and(|octets| &octets == b"there")
}

/// What is sent comes back.
fn assert_echoes(stream: &mut TcpStream, length: usize) {
    let expected = octets(length as u64, length);
    let (mut writer, sent) = (stream.try_clone().unwrap(), expected.clone());
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut echoed = vec![0; length];
    stream.read_exact(&mut echoed).unwrap();
    writing.join().unwrap();
    assert!(echoed == expected, "{length} octets");
}

/// What our own TCP has sent, by all engines.
fn octets_out(lab: &Lab) -> u64 {
    counted(lab, "payload_octets_out")
}

/// What our own TCP has counted, on all engines.
pub(crate) fn counted(lab: &Lab, what: &str) -> u64 {
    let metrics = lab.server.inside(|| get(ADMIN.parse().unwrap(), "/metrics")).body;
    let metrics = String::from_utf8(metrics).unwrap();
    let name = format!("afpa_tcp_{what}_total");
    let values = metrics.lines().filter(|line| line.starts_with(&name));
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// A server that echoes at several ports, which it opens and closes as it is told.
struct Echo {
    child: Child,
}

const ECHO: &str = "
import socket, sys, threading
def echo(connection):
    try:
        while octets := connection.recv(65536):
            connection.sendall(octets)
        connection.close()
    except OSError:
        pass
def accept(listening):
    while True:
        try:
            connection = listening.accept()[0]
        except OSError:
            return
        threading.Thread(target=echo, args=[connection], daemon=True).start()
listeners = {}
def open_port(port):
    listening = socket.create_server(('0.0.0.0', port))
    listeners[port] = listening
    threading.Thread(target=accept, args=[listening], daemon=True).start()
for line in sys.stdin:
    what, port = line.split()
    if what == 'open':
        open_port(int(port))
    else:
        listening = listeners.pop(int(port))
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
    print('done', flush=True)
";

impl Echo {
    fn start(mut command: std::process::Command, ports: &[u16]) -> Echo {
        command.args(["-c", ECHO]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut echo = Echo { child: command.spawn().unwrap() };
        ports.iter().for_each(|port| echo.tell(&format!("open {port}")));
        echo
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut done = [0; 5];
        self.child.stdout.as_mut().unwrap().read_exact(&mut done).unwrap();
        assert_eq!(&done, b"done\n", "{line}");
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
