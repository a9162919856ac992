//! A directory as a page of HTML.

use std::fmt::Write;
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, FileType, OFlags, Stat, fstat};

use super::error::FileError;
use super::resolve::open_beneath;
use super::site::Site;
use crate::syntax::date::imf_fixdate;

/// How many of a directory's entries are listed. Of a larger one the page says that it shows a part.
pub const MAX_ENTRIES: usize = 10_000;

/// Lists `directory`, which was asked for as `url`. Shows what a request could get: regular files and
/// directories, links only where the site follows them, dotfiles only where it serves them.
pub(super) fn render(site: &Site, directory: OwnedFd, url: &[u8]) -> Result<Vec<u8>, FileError> {
    let (mut entries, complete) = read(site, directory, url)?;
    entries.sort_unstable_by(|a, b| (!a.is_directory, &a.name).cmp(&(!b.is_directory, &b.name)));
    Ok(page(url, &entries, complete).into_bytes())
}

struct Entry {
    name: Vec<u8>,
    is_directory: bool,
    size: u64,
    /// Seconds since the epoch.
    modified: u64,
}

fn read(site: &Site, directory: OwnedFd, url: &[u8]) -> Result<(Vec<Entry>, bool), FileError> {
    let mut entries = Vec::new();
    for entry in Dir::new(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let hidden = name.starts_with(b".") && !site.options().dotfiles;
        if hidden || matches!(name, b"." | b"..") {
            continue;
        }
        if entries.len() == MAX_ENTRIES {
            return Ok((entries, false));
        }
        // Opening by name from the root applies the site's rule on links, and does not follow a
        // directory that is being replaced.
        let path = [&url[1..], name].concat();
        let Ok((seen, _)) = open_beneath(site, &path, OFlags::PATH) else { continue };
        if let Some(entry) = listed(name, &fstat(&seen)?) {
            entries.push(entry);
        }
    }
    Ok((entries, true))
}

#[allow(clippy::unnecessary_cast)] // the fields' types differ between architectures
fn listed(name: &[u8], stat: &Stat) -> Option<Entry> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    matches!(kind, FileType::RegularFile | FileType::Directory).then(|| Entry {
        name: name.to_vec(),
        is_directory: kind == FileType::Directory,
        size: stat.st_size as u64,
        modified: u64::try_from(stat.st_mtime as i64).unwrap_or(0),
    })
}

fn page(url: &[u8], entries: &[Entry], complete: bool) -> String {
    let title = escaped(url);
    let mut html = String::with_capacity(512 + entries.len() * 160);
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>body{{font-family:sans-serif;margin:2em}}td{{padding:.1em 1.5em .1em 0}}\
         td:nth-child(2){{text-align:right}}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n"
    );
    if url != b"/" {
        html.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in entries {
        row(&mut html, entry);
    }
    html.push_str("</table>\n");
    if !complete {
        let _ = writeln!(html, "<p>The directory has more entries; {MAX_ENTRIES} of them are shown.</p>");
    }
    html.push_str("</body>\n</html>\n");
    html
}

fn row(html: &mut String, entry: &Entry) {
    let slash = if entry.is_directory { "/" } else { "" };
    let size = if entry.is_directory { String::new() } else { entry.size.to_string() };
    let date = imf_fixdate(entry.modified);
    // The dot keeps a name with a colon from being taken for a scheme (RFC 3986 §4.2).
    let _ = writeln!(
        html,
        "<tr><td><a href=\"./{}{slash}\">{}{slash}</a></td><td>{size}</td><td>{}</td></tr>",
        String::from_utf8_lossy(&encoded(&entry.name)),
        escaped(&entry.name),
        String::from_utf8_lossy(&date),
    );
}

/// Percent-encodes a path: all but unreserved characters and slashes (RFC 3986 §2.3), which leaves
/// nothing that means something in a field value or in HTML.
pub(super) fn encoded(path: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(path.len());
    for &octet in path {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(octet),
            _ => out.extend([b'%', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]),
        }
    }
    out
}

fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8], is_directory: bool) -> Entry {
        Entry { name: name.to_vec(), is_directory, size: 42, modified: 0 }
    }

    #[test]
    fn names_cannot_become_markup_or_leave_the_page() {
        let entries = [entry(b"<script>\"'&.html", false), entry(b"javascript:x", false), entry(b"\xff\r\nx", true)];
        let html = page(b"/<b>/", &entries, true);
        assert!(!html.contains("<script>") && !html.contains("<b>") && !html.contains('\r'));
        assert!(html.contains("href=\"./%3Cscript%3E%22%27%26.html\">&lt;script&gt;&quot;&#39;&amp;.html</a>"));
        assert!(html.contains("href=\"./javascript%3Ax\""));
        assert!(html.contains("href=\"./%FF%0D%0Ax/\""));
        assert!(html.contains("href=\"../\""));
        assert!(html.contains("Thu, 01 Jan 1970 00:00:00 GMT"));
    }

    #[test]
    fn the_root_has_no_parent_and_a_part_says_so() {
        let html = page(b"/", &[entry(b"a", false)], false);
        assert!(!html.contains("href=\"../\""));
        assert!(html.contains("10000 of them are shown"));
    }
}
