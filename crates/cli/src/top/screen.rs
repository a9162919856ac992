//! The terminal: drawn over in place, and left as it was found.

use std::io::{self, IsTerminal, Read, Stdout, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::oneshot;

use super::lines::Line;

/// The other screen of the terminal, without a cursor, without line wrap.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A terminal that shows lines.
pub(super) struct Screen {
    out: Stdout,
    keys: Option<Keys>,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// Standard output is none, or it cannot be written.
    pub(super) fn open() -> io::Result<Screen> {
        let mut out = io::stdout();
        if !out.is_terminal() {
            return Err(io::Error::other("standard output is no terminal; --once writes elsewhere, too"));
        }
        let keys = if io::stdin().is_terminal() { Some(Keys::open()?) } else { None };
        out.write_all(ENTER.as_bytes()).and_then(|()| out.flush())?;
        Ok(Screen { out, keys })
    }

    /// Shows these lines and nothing else; what has no room is not shown.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn show(&mut self, lines: &[Line]) -> io::Result<()> {
        let size = tcgetwinsize(&self.out)?;
        // A terminal that does not know its size has one that is usual.
        let or = |size: u16, usual| if size == 0 { usual } else { usize::from(size) };
        let text = frame(lines, or(size.ws_col, 80), or(size.ws_row, 24));
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush())
    }

    /// Waits until somebody wants no more.
    pub(super) async fn ended(&mut self) {
        match &mut self.keys {
            // The thread ends with its terminal, too.
            Some(keys) => _ = (&mut keys.ended).await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.out.write_all(LEAVE.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// What a terminal of this size is sent. Each line is erased behind its text, so that nothing flickers.
fn frame(lines: &[Line], width: usize, height: usize) -> String {
    let mut out = "\x1b[H".to_owned();
    for (number, line) in lines.iter().take(height).enumerate() {
        if number > 0 {
            out += "\r\n";
        }
        let text = line.cut(width);
        if line.is_heading {
            out += &format!("\x1b[1m{text}\x1b[0m\x1b[K");
        } else {
            out += &format!("{text}\x1b[K");
        }
    }
    out + "\x1b[J"
}

/// Keys as they are pressed. They are not shown, and Ctrl-Z does not stop a program that has the other screen.
struct Keys {
    ended: oneshot::Receiver<()>,
    found: Termios,
}

impl Keys {
    fn open() -> io::Result<Keys> {
        let found = tcgetattr(io::stdin())?;
        let mut wanted = found.clone();
        wanted.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        wanted.special_codes[SpecialCodeIndex::VSUSP] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &wanted)?;
        // Made first: whatever fails from here on restores the terminal.
        let (sender, ended) = oneshot::channel();
        let keys = Keys { ended, found };
        // A read cannot be taken back: the thread sits in one when the process ends.
        std::thread::Builder::new().name("keys".into()).spawn(move || {
            let pressed = io::stdin().lock().bytes();
            let _ = pressed.map_while(Result::ok).find(|key| matches!(key, b'q' | b'Q'));
            let _ = sender.send(());
        })?;
        Ok(keys)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_terminal_gets_what_it_has_room_for() {
        let line = |text: &str, is_heading| Line { text: text.into(), is_heading };
        let lines = [line("requests 5/s", false), line("pool  backend", true), line("app", false)];
        let expected = "\x1b[Hrequests\x1b[K\r\n\x1b[1mpool  ba\x1b[0m\x1b[K\x1b[J";
        assert_eq!(frame(&lines, 8, 2), expected);
        assert_eq!(frame(&lines[..1], 80, 24), "\x1b[Hrequests 5/s\x1b[K\x1b[J");
        assert_eq!(frame(&[], 80, 24), "\x1b[H\x1b[J");
    }
}
