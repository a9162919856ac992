//! Chromium without a window, driven through its own protocol (the DevTools protocol) over a pair of pipes.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a browser may take for one thing, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Chromium, if it is installed. With `CI=true` it must be.
pub(crate) fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates =
        names.iter().flat_map(|name| std::env::split_paths(&directories).map(move |dir| dir.join(name)));
    let found = candidates.find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "the package chromium is not installed");
        println!("skipped: the package chromium is not installed");
    }
    found
}

/// A page in a browser of its own.
pub(crate) struct Page {
    child: Child,
    orders: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    session: Value,
    complaints: RefCell<Vec<String>>,
    profile: TempDir,
}

impl Page {
    /// Opens a page.
    pub(crate) fn open(chromium: &Path, url: &str) -> Page {
        Page::open_after(chromium, url, "")
    }

    /// Opens a page before whose own scripts another one runs.
    pub(crate) fn open_after(chromium: &Path, url: &str, script: &str) -> Page {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            // The protocol's pipes have fixed numbers.
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>&2"])
            .arg(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--no-proxy-server", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let orders = RefCell::new(child.stdin.take().unwrap());
        let (sender, messages) = channel();
        let answers = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let complaints = RefCell::default();
        let mut page = Page { child, orders, messages, session: Value::Null, complaints, profile };
        let targets = page.call("Target.getTargets", json!({}));
        let target = targets["targetInfos"].as_array().unwrap().iter().find(|target| target["type"] == "page").unwrap();
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        page.session = page.call("Target.attachToTarget", attach)["sessionId"].clone();
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            page.call(domain, json!({}));
        }
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
        page.call("Page.navigate", json!({ "url": url }));
        page.wait_for("document.readyState === 'complete'");
        assert_eq!(page.evaluate("location.href"), url);
        page
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&self, expression: &str) -> Value {
        let answer = self
            .call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&self, expression: &str) {
        let begun = Instant::now();
        while self.evaluate(expression) != Value::Bool(true) {
            if begun.elapsed() > PATIENCE {
                let text = self.evaluate("document.body.innerText");
                panic!("{expression} did not become true: {text} {:?}", self.complaints.borrow());
            }
            // Not at once: a page that is asked all the time has none left for itself.
            self.evaluate("new Promise((done) => setTimeout(done, 50))");
        }
    }

    /// Errors and warnings of scripts, of loading and of the page's policy, since this was asked last.
    pub(crate) fn complaints(&self) -> Vec<String> {
        // What was said before the answer to this came before it.
        self.evaluate("0");
        self.complaints.take()
    }

    fn call(&self, method: &str, parameters: Value) -> Value {
        let mut order = json!({ "id": 1, "method": method, "params": parameters });
        if !self.session.is_null() {
            order["sessionId"] = self.session.clone();
        }
        self.orders.borrow_mut().write_all(format!("{order}\0").as_bytes()).unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{method}: {error}"));
            match message["method"].as_str() {
                None if message["id"] == 1 => {
                    assert!(message["error"].is_null(), "{method}: {message}");
                    return message["result"].clone();
                }
                Some("Runtime.exceptionThrown") => self.complaints.borrow_mut().push(message["params"].to_string()),
                Some("Log.entryAdded") => self.complain(&message["params"]["entry"]["level"], &message),
                Some("Runtime.consoleAPICalled") => self.complain(&message["params"]["type"], &message),
                _ => {}
            }
        }
    }

    fn complain(&self, level: &Value, message: &Value) {
        if ["error", "warning", "assert"].iter().any(|bad| level == bad) {
            self.complaints.borrow_mut().push(message["params"].to_string());
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It ends its own processes; the profile cannot be removed before.
        let _ = self.orders.borrow_mut().write_all(b"{\"id\":2,\"method\":\"Browser.close\"}\0");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.messages.recv_timeout(PATIENCE).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(self.profile.path());
    }
}
