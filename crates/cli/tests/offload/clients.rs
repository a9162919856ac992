//! curl and wget on the sockets under test, and a server on the kernel's.

use std::fs;
use std::net::SocketAddr;

use crate::free_address::free_address;
use crate::http::origin;
use crate::programs::{LENGTHS, are_installed, attempt, octets, output, program, python, text};
use crate::stack::Stack;

#[test]
fn curl_downloads_what_the_server_has() {
    if !are_installed(&["curl"]) {
        return;
    }
    let stack = Stack::start();
    let address = origin();
    for length in LENGTHS {
        let body = output(stack.run("curl").args(["-sS", &url(address, length)]));
        assert!(body == octets(length as u64, length), "{length} octets");
    }
}

#[test]
fn curl_keeps_a_connection_and_has_several_at_once() {
    if !are_installed(&["curl"]) {
        return;
    }
    for stack in Stack::of_each_kind() {
        let address = origin();
        for flags in [&["-sS"][..], &["-sS", "-Z", "--parallel-max", "8"]] {
            let mut curl = stack.run("curl");
            curl.args(flags);
            for (number, length) in LENGTHS.iter().enumerate() {
                curl.arg("-o").arg(stack.file(&format!("out-{number}"))).arg(url(address, *length));
            }
            output(&mut curl);
            for (number, length) in LENGTHS.iter().enumerate() {
                // Nothing is written where there is nothing.
                let body = fs::read(stack.file(&format!("out-{number}"))).unwrap_or_default();
                assert!(body == octets(*length as u64, *length), "{length} octets with {flags:?}");
                let _ = fs::remove_file(stack.file(&format!("out-{number}")));
            }
        }
    }
}

#[test]
fn curl_uploads_and_gets_it_back() {
    if !are_installed(&["curl"]) {
        return;
    }
    for stack in Stack::of_each_kind() {
        let (address, file) = (origin(), stack.file("body"));
        for length in [1, 1000, 70_000, 5 << 20] {
            fs::write(&file, octets(7, length)).unwrap();
            for transfer in [&["-H", "Expect: 100-continue"][..], &["-H", "Transfer-Encoding: chunked"]] {
                let data = format!("@{}", file.display());
                let mut curl = stack.run("curl");
                let body = output(curl.args(["-sS", &url(address, 0), "--data-binary", &data]).args(transfer));
                assert!(body == octets(7, length), "{length} octets with {transfer:?}");
            }
        }
    }
}

#[test]
fn wget_downloads_what_the_server_has() {
    if !are_installed(&["wget"]) {
        return;
    }
    let stack = Stack::start();
    let address = origin();
    for length in LENGTHS {
        let body = output(stack.run("wget").args(["-q", "-t", "1", "-O", "-", &url(address, length)]));
        assert!(body == octets(length as u64, length), "{length} octets");
    }
}

#[test]
fn curl_and_wget_hear_that_nobody_listens() {
    if !are_installed(&["curl", "wget"]) {
        return;
    }
    let stack = Stack::start();
    let nobody = format!("http://{}/", free_address());
    let curl = attempt(stack.run("curl").args(["-sS", &nobody]));
    // "Failed to connect to host" (curl(1)).
    assert_eq!(curl.status.code(), Some(7), "{}", String::from_utf8_lossy(&curl.stderr));
    let wget = attempt(stack.run("wget").args(["-t", "1", "-O", "-", &nobody]));
    let said = String::from_utf8_lossy(&wget.stderr).into_owned();
    assert!(wget.status.code() == Some(4) && said.contains("Connection refused"), "{said}");
}

#[test]
fn a_python_client_with_threads_gets_everything() {
    if !are_installed(&["python3"]) {
        return;
    }
    const CLIENT: &str = "
import concurrent.futures, hashlib, sys, urllib.request
def get(length):
    with urllib.request.urlopen(f'http://{sys.argv[1]}/{length}', timeout=20) as response:
        return hashlib.sha256(response.read()).hexdigest()
lengths = [n * 977 for n in range(200)]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(hashlib.sha256(''.join(pool.map(get, lengths)).encode()).hexdigest())
";
    let stack = Stack::start();
    let address = origin().to_string();
    let offloaded = text(stack.offloaded(python().args(["-c", CLIENT])).arg(&address));
    let on_the_kernel = text(python().args(["-c", CLIENT, &address]));
    assert_eq!(offloaded, on_the_kernel);
}

#[test]
fn a_shell_passes_its_sockets_to_what_it_starts() {
    if !are_installed(&["curl", "sh"]) {
        return;
    }
    let stack = Stack::start();
    let address = origin();
    // The programs of a pipeline are as offloaded as the shell is.
    let script = format!("curl -sS {} | cat; curl -sS {} | wc -c", url(address, 1000), url(address, 5000));
    let mut expected = octets(1000, 1000);
    expected.extend_from_slice(b"5000\n");
    assert!(output(&mut stack.offloaded(program("sh").args(["-c", &script]))) == expected);
}

fn url(address: SocketAddr, length: usize) -> String {
    format!("http://{address}/{length}")
}
