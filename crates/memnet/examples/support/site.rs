//! The files of a directory, with everything that is sent of them, in registered memory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use memnet::{Attachment, Frozen};

use super::request::Request;

/// Bodies up to so many octets lie behind each of their heads, so that an answer is one piece.
const SMALL: usize = 16 * 1024;

/// What there is to be sent.
pub(crate) struct Site {
    pub(crate) memory: Frozen,
    pages: HashMap<Box<[u8]>, Page>,
    missing: Page,
    refused: Answer,
}

/// The pieces of an answer, in the memory. The second may be empty.
#[derive(Clone, Default)]
pub(crate) struct Answer(pub(crate) [Range<usize>; 2]);

/// The answers in HTTP/1.0 and HTTP/1.1, on a connection that is closed and on one that stays.
#[derive(Default)]
struct Page([[Answer; 2]; 2]);

impl Site {
    /// Reads all files below `root` into memory that it registers.
    ///
    /// # Errors
    /// A file cannot be read, or so much memory cannot be registered.
    pub(crate) fn load(attachment: &Arc<Attachment>, root: &Path) -> io::Result<Site> {
        let mut octets = Vec::new();
        let refused =
            append(&mut octets, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let missing = page(&mut octets, "404 Not Found", b"There is no such file.\n");
        let mut pages = HashMap::new();
        read(root, &mut Vec::new(), &mut octets, &mut pages)?;
        let mut memory = attachment.register_mem(octets.len())?;
        memory.copy_from_slice(&octets);
        Ok(Site { memory: memory.freeze(), pages, missing, refused: Answer([refused, 0..0]) })
    }

    pub(crate) fn answer(&self, request: &Request<'_>) -> &Answer {
        let page = self.pages.get(request.path).unwrap_or(&self.missing);
        &page.0[usize::from(request.is_1_1)][usize::from(request.stays)]
    }

    /// The answer to what is no request.
    pub(crate) fn refused(&self) -> &Answer {
        &self.refused
    }
}

fn read(
    directory: &Path,
    path: &mut Vec<u8>,
    octets: &mut Vec<u8>,
    pages: &mut HashMap<Box<[u8]>, Page>,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(entry.file_name().as_bytes());
        if entry.file_type()?.is_dir() {
            read(&entry.path(), path, octets, pages)?;
        } else {
            pages.insert(path.as_slice().into(), page(octets, "200 OK", &fs::read(entry.path())?));
        }
        path.truncate(length);
    }
    Ok(())
}

fn page(octets: &mut Vec<u8>, status: &str, body: &[u8]) -> Page {
    let whole = append(octets, if body.len() > SMALL { body } else { &[] });
    let mut page = Page::default();
    for (minor, answers) in page.0.iter_mut().enumerate() {
        for (connection, Answer([head, rest])) in ["close", "keep-alive"].iter().zip(answers) {
            let length = body.len();
            let text =
                format!("HTTP/1.{minor} {status}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n");
            *head = append(octets, text.as_bytes());
            if body.len() <= SMALL {
                head.end = append(octets, body).end;
            } else {
                *rest = whole.clone();
            }
        }
    }
    page
}

fn append(octets: &mut Vec<u8>, more: &[u8]) -> Range<usize> {
    let start = octets.len();
    octets.extend_from_slice(more);
    start..octets.len()
}
