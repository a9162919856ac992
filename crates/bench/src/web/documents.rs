//! The documents of the web server: where the heads and the body of each lie in one stretch of memory.

use super::request::Request;
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The most octets of documents that are held.
const MAX_MEMORY: usize = 4 << 30;

/// Part of the documents' memory.
pub(super) type Part = Range<usize>;

/// Where every response lies, by the path that it answers.
#[derive(Debug)]
pub(super) struct Documents {
    pages: HashMap<Vec<u8>, Page>,
    missing: Page,
    /// The answer to what is no request that this server understands.
    pub(super) refused: Part,
}

#[derive(Clone, Debug, Default)]
struct Page {
    /// The heads of HTTP/1.0 and HTTP/1.1, with a connection that stays and one that is closed.
    heads: [[Part; 2]; 2],
    body: Part,
}

impl Documents {
    /// Reads all files under `root`; returns where what is, and the memory.
    ///
    /// # Errors
    /// A file cannot be read, or they are more than 4 GiB.
    pub(super) fn load(root: &Path) -> Result<(Documents, Vec<u8>)> {
        let mut memory = Vec::new();
        let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let refused = append(&mut memory, refused.as_bytes());
        let missing = page(&mut memory, "404 Not Found", b"");
        let mut documents = Documents { pages: HashMap::new(), missing, refused };
        documents.add(root, &mut memory, &mut Vec::new())?;
        Ok((documents, memory))
    }

    fn add(&mut self, directory: &Path, memory: &mut Vec<u8>, prefix: &mut Vec<u8>) -> Result<()> {
        let context = || format!("cannot read {}", directory.display());
        for entry in fs::read_dir(directory).with_context(context)? {
            let entry = entry.with_context(context)?;
            let kind = entry.file_type().with_context(context)?;
            let length = prefix.len();
            prefix.push(b'/');
            prefix.extend_from_slice(entry.file_name().as_bytes());
            if kind.is_dir() {
                self.add(&entry.path(), memory, prefix)?;
            } else if kind.is_file() {
                let body = fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
                if memory.len() + body.len() > MAX_MEMORY {
                    bail!("the documents are more than 4 GiB");
                }
                self.pages.insert(prefix.clone(), page(memory, "200 OK", &body));
            }
            prefix.truncate(length);
        }
        Ok(())
    }

    /// The head and the body that answer `request`.
    pub(super) fn answer(&self, request: &Request<'_>) -> [Part; 2] {
        let page = self.pages.get(request.path).unwrap_or(&self.missing);
        let head = &page.heads[usize::from(request.minor)][usize::from(request.closes)];
        [head.clone(), page.body.clone()]
    }
}

fn page(memory: &mut Vec<u8>, status: &str, body: &[u8]) -> Page {
    let mut page = Page::default();
    for (minor, heads) in page.heads.iter_mut().enumerate() {
        for (connection, head) in ["keep-alive", "close"].into_iter().zip(heads) {
            let text = format!(
                "HTTP/1.{minor} {status}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
                body.len()
            );
            *head = append(memory, text.as_bytes());
        }
    }
    page.body = append(memory, body);
    page
}

fn append(memory: &mut Vec<u8>, octets: &[u8]) -> Part {
    let start = memory.len();
    memory.extend_from_slice(octets);
    start..memory.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_answered_in_the_version_that_was_asked_in() {
        let root = std::env::temp_dir().join(format!("afpa-web-test-{}", std::process::id()));
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/b"), "body").unwrap();
        let (documents, memory) = Documents::load(&root).unwrap();
        fs::remove_dir_all(root).unwrap();
        let answer = |path: &str, minor, closes| {
            let [head, body] = documents.answer(&Request { path: path.as_bytes(), minor, closes, length: 0 });
            String::from_utf8([&memory[head], &memory[body]].concat()).unwrap()
        };
        assert_eq!(answer("/a/b", 0, true), "HTTP/1.0 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
        assert!(answer("/a/b", 1, false).starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(answer("/a", 1, false).starts_with("HTTP/1.1 404 "));
        assert!(memory[documents.refused.clone()].starts_with(b"HTTP/1.1 400 "));
    }
}
