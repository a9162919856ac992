//! What an operator watches: the page of the admin server in Chromium, and `afpa top`.

mod browser;
mod free_address;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use browser::{Page, chromium};
use free_address::free_address;

#[test]
fn the_page_shows_what_happens_without_a_complaint() {
    let Some(chromium) = chromium() else { return };
    let site = site();
    let backend = Server::start(&["serve", site.path().to_str().unwrap(), "--cache-control", "max-age=60"]);
    let url = format!("http://{}", backend.address);
    let admin = free_address().to_string();
    let server = Server::start(&["accelerate", &url, "--admin", &admin]);
    let page = Page::open(&chromium, &format!("http://{admin}/"));
    let tile =
        |name: &str, number: u8| format!("(document.querySelectorAll('#tile-{name} dd')[{number}]?.textContent ?? '')");

    // Without load: what there is to see is there, and nothing moves.
    page.wait_for(&format!("{} === '0/s'", tile("requests", 0)));
    let states = "[...document.querySelectorAll('#graph-http .name')].map((state) => state.textContent).join()";
    assert!(page.evaluate(states).as_str().unwrap().starts_with("▸ derive request,derive cached response,"));
    assert_eq!(page.evaluate("document.querySelectorAll('#graph-http .heat0').length > 20"), true);

    let load = Load::start(server.address);
    page.wait_for(&format!("/^[1-9].*[/]s$/.test({})", tile("requests", 0)));
    page.wait_for(&format!("/^[1-9].* in all$/.test({})", tile("requests", 1)));
    let first = page.evaluate(&tile("requests", 1)).as_str().unwrap().to_owned();
    page.wait_for(&format!("{} !== '{first}'", tile("requests", 1)));
    page.wait_for(&format!("/^[1-9].* %$/.test({})", tile("hit-ratio", 0)));
    page.wait_for("/^hit [1-9].*[/]s$/m.test([...document.querySelectorAll('#graph-http .label tspan')].map((label) => label.textContent).join('\\n'))");
    page.wait_for("document.querySelectorAll('#graph-http path.heat0').length < document.querySelectorAll('#graph-http path.edge').length");
    page.wait_for("document.querySelector('#cache tbody th').textContent === 'hit'");
    page.evaluate("document.querySelector('#graph-http details').open = true");
    page.wait_for("document.querySelectorAll('#graph-http tbody tr').length > 40");
    page.wait_for("document.querySelector('#tile-requests path').getAttribute('d').includes('L')");
    drop(load);
    // At 1000 columns nothing has to be scrolled sideways.
    assert_eq!(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), true);
    assert_eq!(page.complaints(), [""; 0]);
}

/// Numbers that a server has with pools and classes, under names that mean harm, beside those that it has.
const MORE_NUMBERS: &str = r#"
const plain = window.fetch;
let asked = 0;
window.fetch = async (path, options) => {
  const answer = await plain(path, options);
  if (path !== "/api/stats") return answer;
  asked += 1;
  const backend = { address: "127.0.0.1:3000", healthy: true, ejected: false, draining: false, weight: 2, active: 3,
    requests: 100 * asked, failures: 0, sent_octets: 20_000 * asked, received_octets: 3_000_000 * asked,
    latency_us: 850, checks_passed: 9, checks_failed: 1, ejections: 0 };
  const pools = [{ name: "app", waiting: 4, backends: [{ ...backend, name: "one" },
    { ...backend, name: "two", healthy: false }, { ...backend, name: "three", ejected: true },
    { ...backend, name: "four", draining: true }] }];
  const classes = [{ name: "interactive", priority: 1, weight: 5, requests: 70 * asked, refused: 2 * asked, waiting: 6,
    running: 7 }];
  const top_keys = [{ key: "/<img src=x onerror=alert(1)>", requests: 500 * asked }];
  return Response.json({ ...await answer.json(), pools, classes, top_keys });
};"#;

#[test]
fn the_page_shows_pools_classes_and_keys() {
    let Some(chromium) = chromium() else { return };
    let site = site();
    let admin = free_address().to_string();
    let _server = Server::start(&["serve", site.path().to_str().unwrap(), "--admin", &admin]);
    let page = Page::open_after(&chromium, &format!("http://{admin}/"), MORE_NUMBERS);
    page.wait_for("document.querySelectorAll('#pools tbody tr').length === 4");
    let row = |section: &str, number: usize| {
        let cells = format!("[...document.querySelectorAll('#{section} tbody tr')[{number}].cells]");
        let text = page.evaluate(&format!("{cells}.map((cell) => cell.textContent).join('|')"));
        text.as_str().unwrap().split('|').map(str::to_owned).collect::<Vec<_>>()
    };
    let first = row("pools", 0);
    assert_eq!(first[..6], ["app (4 waiting)", "one", "127.0.0.1:3000", "✓ healthy", "2", "3"]);
    assert!(first[6].starts_with(|digit: char| ('1'..='9').contains(&digit)), "{first:?}");
    assert_eq!((&*first[8], &*first[11]), ("850 µs", "1 of 10"));
    assert_eq!([1, 2, 3].map(|number| row("pools", number)[3].clone()), ["✕ down", "✕ ejected", "▽ draining"]);
    let class = row("classes", 0);
    assert_eq!((&*class[0], &class[5..]), ("interactive", &["6".to_owned(), "7".to_owned()][..]));
    assert_eq!(row("keys", 0)[0], "/<img src=x onerror=alert(1)>");
    assert_eq!(page.evaluate("document.images.length"), 0);
    assert_eq!(page.complaints(), [""; 0]);
}

/// The same two answers of the server that the tests of `afpa top` have.
const TWO_SAMPLES: &str = r#"import("/rates.js").then(({ between, sample, short, octets, duration, span, percent }) => {
  const engine = { connections: 0, connected: 0, received_octets: 0, sent_octets: 0, responses: [] };
  const send = { module: "http", state: "send engine", outcome: "sent" };
  const before = sample({ engines: [{ ...engine, connected: 10, latency: { buckets: [[1000, 5]] },
    cache: [{ outcome: "hit", count: 5 }], transitions: [{ ...send, count: 5 }] }] }, 1000);
  const after = sample({ engines: [{ ...engine, connected: 30, latency: { buckets: [[1000, 195], [2500000, 10]] },
    cache: [{ outcome: "hit", count: 155 }, { outcome: "miss", count: 50 }, { outcome: "none", count: 9 }],
    transitions: [{ ...send, count: 205 }] }] }, 3000);
  const rates = between(before, after);
  return [short(rates.of("requests")), percent(rates.hits), duration(rates.quantile(0.5)), duration(rates.quantile(0.99)),
    short(rates.of("connected")), short(rates.in("transitions", "http\nsend engine\nsent")),
    percent(between(after, after).hits), short(between(after, before).of("requests")),
    octets(1234567), octets(12), short(999.7), short(45.67), span(90000), span(7300), duration(2e9)].join("|");
})"#;

#[test]
fn the_page_computes_what_top_computes() {
    let Some(chromium) = chromium() else { return };
    let site = site();
    let admin = free_address().to_string();
    let _server = Server::start(&["serve", site.path().to_str().unwrap(), "--admin", &admin]);
    let page = Page::open(&chromium, &format!("http://{admin}/"));
    let expected = "100|75.0 %|1 µs|2.5 ms|10|100|–|0|1.23 MB|12 B|1.00 k|45.7|1 d 1 h|2 h 1 min|2 s";
    assert_eq!(page.evaluate(TWO_SAMPLES), expected);
}

#[test]
fn the_page_says_that_the_server_is_gone_and_finds_it_again() {
    let Some(chromium) = chromium() else { return };
    let site = site();
    let admin = free_address().to_string();
    let arguments = ["serve", site.path().to_str().unwrap(), "--admin", &admin];
    let server = Server::start(&arguments);
    let page = Page::open(&chromium, &format!("http://{admin}/"));
    let state = "document.querySelector('#state').textContent";
    page.wait_for("document.querySelector('#about').textContent.includes(', up ')");
    assert_eq!(page.evaluate(state), "");
    drop(server);
    page.wait_for(&format!("{state}.startsWith('no answer since ')"));
    let server = Server::start(&arguments);
    page.wait_for(&format!("{state} === ''"));
    let load = Load::start(server.address);
    page.wait_for("/^[1-9]/.test(document.querySelector('#tile-requests dd')?.textContent ?? '')");
    drop(load);
}

#[test]
fn top_prints_the_rates_of_one_interval() {
    let site = site();
    let admin = free_address().to_string();
    let server = Server::start(&["serve", site.path().to_str().unwrap(), "--admin", &admin, "--cores", "0"]);
    let load = Load::start(server.address);
    let top = ["top", "--once", "--interval", "1s", "--admin", &admin];
    let output = Command::new(env!("CARGO_BIN_EXE_afpa")).args(top).output().unwrap();
    drop(load);
    let said = (output.status.code(), String::from_utf8(output.stdout).unwrap(), output.stderr);
    let (Some(0), text, []) = (said.0, &said.1, &*said.2) else { panic!("{said:?}") };
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(&format!("afpa {}  up ", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(lines[0].ends_with("  1 engine"), "{text}");
    let requests = lines[1].strip_prefix("requests ").unwrap();
    assert!(
        requests.starts_with(|first: char| ('1'..='9').contains(&first)) && requests.contains("/s  hits "),
        "{text}"
    );
    assert!(lines[2].starts_with("connections ") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(lines[4].split_whitespace().collect::<Vec<_>>(), ["module", "state", "outcome", "transitions/s"]);
    assert!(lines[5..].iter().any(|line| line.starts_with("http    send engine ")), "{text}");
}

#[test]
fn top_says_what_is_missing() {
    let admin = free_address().to_string();
    for (arguments, expected) in [
        (&["top", "--once", "--admin", &admin][..], "(start it with --admin, see its --help)\n"),
        (&["top", "--admin", &admin], "standard output is no terminal; --once writes elsewhere, too\n"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_afpa")).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && output.stdout.is_empty() && said.ends_with(expected), "{said}");
    }
}

fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "<p>watched").unwrap();
    dir
}

/// A server that is killed at the end.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_afpa"))
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--log", "off", "--cache", "16MiB"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.rsplit_once("http://").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        Server { child, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Requests, one after the other on one connection, until this is dropped.
struct Load {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn start(address: SocketAddr) -> Load {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        let thread = std::thread::spawn(move || {
            let mut connection = TcpStream::connect(address).unwrap();
            let mut answer = [0; 4096];
            while !seen.load(Relaxed) {
                connection.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                assert!(connection.read(&mut answer).unwrap() > 0, "the server ended");
            }
        });
        Load { is_over, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|end| end.is_ok()), "the load failed");
    }
}
