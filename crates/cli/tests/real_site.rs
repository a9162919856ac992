//! The main job on real input: the Debian Administrator's Handbook in 26 languages (Debian's package
//! `debian-handbook`, some 8,000 files), fetched file by file, mirrored by wget, opened in Chromium.
//!
//! A test whose packages are missing says so and passes; with `CI=true` it fails.

mod tree;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use tree::files;

const HANDBOOK: &str = "/usr/share/doc/debian-handbook/html";
/// What a path may contain as it is, beside letters and digits.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');
/// Requests that a client writes ahead of the answers.
const PIPELINE: usize = 16;

#[test]
fn every_file_arrives_as_it_is() {
    let Some(site) = handbook() else { return };
    let files = files(&site);
    assert!(files.len() > 5000, "{} files are not the handbook", files.len());
    // The small cache holds a sixth of the site: the rest is evicted while it is being sent.
    let settings: [&[&str]; 4] = [
        &[],
        &["--respond", "thread", "--cache", "16MiB"],
        &["--io", "epoll", "--respond", "inline", "--cache", "16MiB"],
        &["--io", "epoll", "--respond", "hybrid"],
    ];
    for arguments in settings {
        let server = Server::start(&site, arguments);
        let mut client = Client::connect(server.address);
        // Twice: from the disk, and from what the cache holds.
        for round in ["cold", "warm"] {
            for batch in files.chunks(PIPELINE) {
                batch.iter().for_each(|file| client.ask(file));
                for file in batch {
                    let (status, body) = client.answer();
                    let same = status == 200 && body == fs::read(site.join(file)).unwrap();
                    assert!(same, "{}: {status}, or different ({arguments:?}, {round})", file.display());
                }
            }
        }
    }
}

#[test]
fn wget_mirrors_what_is_linked() {
    let Some(site) = handbook() else { return };
    let Some(wget) = program(&["wget"]) else { return };
    let server = Server::start(&site, &["--listing"]);
    let mirror = tempfile::tempdir().unwrap();
    // Status 8 says that some link led nowhere: the log shows which.
    let output = Command::new(wget)
        .args(["--recursive", "--level=inf", "--no-host-directories", "--no-verbose", "--tries=1", "--timeout=30"])
        .args(["--execute=robots=off", "--no-config", "--no-proxy", "--directory-prefix"])
        .arg(mirror.path())
        .arg(format!("http://{}/", server.address))
        .output()
        .unwrap();
    assert!(matches!(output.status.code(), Some(0 | 8)), "{}", tail(&output.stderr));
    let listed = tree_of(&site);
    let mut compared = 0;
    for file in files(mirror.path()) {
        if listed.contains(&file) {
            let (ours, theirs) = (fs::read(mirror.path().join(&file)).unwrap(), fs::read(site.join(&file)).unwrap());
            assert!(ours == theirs, "{} differs", file.display());
            compared += 1;
        } else {
            // wget's names for the pages that list a directory: index.html, index.html?C=N, ...
            let name = file.file_name().unwrap().to_string_lossy();
            assert!(name.starts_with("index.html"), "{} is nowhere in the site", file.display());
        }
    }
    assert!(compared > 3000, "only {compared} files were mirrored: {}", tail(&output.stderr));
    for (path, status) in server.log() {
        let file = PathBuf::from(path.trim_start_matches('/'));
        let expected: &[u64] = if listed.contains(&file) { &[200] } else { &[200, 301, 404] };
        assert!(expected.contains(&status), "{path} was answered with {status}");
    }
}

#[test]
fn chromium_shows_pages_without_a_complaint() {
    let Some(site) = handbook() else { return };
    let Some(chromium) = program(&["chromium", "chromium-browser", "google-chrome"]) else { return };
    // A fault must be seen: a script's on the console, a missing image in the log.
    let faulty = tempfile::tempdir().unwrap();
    let page = "<title>faulty</title><img src=missing.png><script>nonsense()</script>";
    fs::write(faulty.path().join("index.html"), page).unwrap();
    let server = Server::start(faulty.path(), &[]);
    let complaints = browse(&chromium, &format!("http://{}/", server.address)).1;
    assert!(complaints.iter().any(|line| line.contains("nonsense")), "{complaints:?}");
    assert!(server.log().contains(&("/missing.png".to_owned(), 404)));

    let server = Server::start(&site, &[]);
    let pages = [
        "en-US/index.html",
        "en-US/existing-setup.html",
        "en-US/sect.graphical-desktops.html",
        "fr-FR/case-study.html",
        "ja-JP/index.html",
        "fa-IR/index.html",
    ];
    for page in pages {
        assert!(site.join(page).is_file(), "{page} is not in this edition");
        let (dom, complaints) = browse(&chromium, &format!("http://{}/{page}", server.address));
        assert!(dom.contains("</html>") && dom.len() > 1000, "{page} is not shown: {dom}");
        assert_eq!(complaints, [""; 0], "{page}");
    }
    let log = server.log();
    for page in pages {
        assert!(log.contains(&(format!("/{page}"), 200)), "{page} was not asked for");
    }
    let loaded = |extension: &str| log.iter().filter(|(path, _)| path.ends_with(extension)).count();
    assert!(loaded(".css") > 0 && loaded(".png") > 0, "a page without style and images");
    // The browser asks for an icon unasked; the site has none.
    let failed: Vec<_> = log.iter().filter(|(path, status)| *status != 200 && path != "/favicon.ico").collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// The site, if it is installed.
fn handbook() -> Option<PathBuf> {
    let site = Path::new(HANDBOOK);
    if !site.is_dir() {
        missing("debian-handbook");
        return None;
    }
    Some(site.to_owned())
}

/// The first of these programs that is installed.
fn program(names: &[&str]) -> Option<PathBuf> {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let candidates = names.iter().flat_map(|name| std::env::split_paths(&directories).map(move |dir| dir.join(name)));
    let found = candidates.into_iter().find(|path| path.is_file());
    if found.is_none() {
        missing(names[0]);
    }
    found
}

fn missing(package: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "the package {package} is not installed");
    println!("skipped: the package {package} is not installed");
}

fn tree_of(root: &Path) -> HashSet<PathBuf> {
    files(root).into_iter().collect()
}

fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Opens a page; the document as it came to be, and what the console says.
fn browse(chromium: &Path, url: &str) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--no-proxy-server", "--enable-logging=stderr", "--v=0", "--timeout=30000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .output()
        .unwrap();
    assert!(status.success(), "{url}: {}", tail(&stderr));
    let said = String::from_utf8_lossy(&stderr);
    let complaints = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&stdout).into_owned(), complaints)
}

/// A running `afpa serve`, with its access log.
struct Server {
    child: Child,
    address: SocketAddr,
    logs: TempDir,
}

impl Server {
    fn start(site: &Path, arguments: &[&str]) -> Server {
        let logs = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_afpa"))
            .arg("serve")
            .arg(site)
            .args(["--listen", "127.0.0.1:0", "--log", "json", "--log-file"])
            .arg(logs.path().join("access.json"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
        Server { child, address, logs }
    }

    /// Ends the server in order; each request's path and status.
    fn log(mut self) -> Vec<(String, u64)> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let log = fs::read_to_string(self.logs.path().join("access.json")).unwrap();
        log.lines().map(entry).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn entry(line: &str) -> (String, u64) {
    let entry: Value = serde_json::from_str(line).unwrap();
    let target = entry["target"].as_str().unwrap();
    let path = target.split('?').next().unwrap();
    (percent_decode_str(path).decode_utf8_lossy().into_owned(), entry["status"].as_u64().unwrap())
}

/// A client on one persistent connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Client {
        Client(BufReader::with_capacity(1 << 20, TcpStream::connect(address).unwrap()))
    }

    fn ask(&mut self, file: &Path) {
        let path = utf8_percent_encode(file.to_str().unwrap(), ENCODED).to_string();
        self.0.get_mut().write_all(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    }

    /// The next answer's status and body.
    fn answer(&mut self) -> (u16, Vec<u8>) {
        let (mut status, mut length) = (None, None);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok(),
                _ if line.starts_with("HTTP/1.1 ") => status = line[9..12].parse().ok(),
                None if line == "\r\n" => break,
                _ => assert!(!line.is_empty(), "the connection ended"),
            }
        }
        let mut body = vec![0; length.expect("a Content-Length field")];
        self.0.read_exact(&mut body).unwrap();
        (status.expect("a status line"), body)
    }
}
