//! A terminal that is drawn on: prepared at the beginning, and given back as it was whatever happens.
//!
//! Lines enter, and are written over those before; keys leave.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

use super::screen::{Ink, Line, Size};

/// The other screen, so that what was written before stays; no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What Ctrl-C sends where it interrupts nothing.
const CTRL_C: u8 = 3;

/// A terminal in use; as it was before when this is dropped.
pub(super) struct Terminal {
    /// How keys were read before; none where standard input is no terminal.
    before: Option<Termios>,
    is_coloured: bool,
}

impl Terminal {
    /// Takes the terminal. Keys then come one by one and are not shown, Ctrl-C among them.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn take() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = if stdin.is_terminal() { Some(tcgetattr(&stdin)?) } else { None };
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        }
        let terminal = Self { before, is_coloured: crate::telemetry::is_coloured(&io::stdout()) };
        write(ENTER)?;
        Ok(terminal)
    }

    /// How much can be drawn on.
    pub(super) fn size() -> Size {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { columns: size.ws_col.into(), rows: size.ws_row.into() }
            }
            _ => Size { columns: 80, rows: 24 },
        }
    }

    /// Draws these lines in place of what is there.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn draw(&self, lines: &[Line]) -> io::Result<()> {
        let mut drawn = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            // A break behind the last line of a full screen would move it.
            drawn += if at == 0 { "" } else { "\r\n" };
            drawn += &written(line, self.is_coloured);
            drawn += "\x1b[K";
        }
        drawn += "\x1b[J";
        write(&drawn)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nobody is left to tell when the terminal is gone.
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// A line as it is written.
pub(super) fn written(line: &Line, is_coloured: bool) -> String {
    line.0.iter().fold(String::new(), |mut told, (ink, text)| {
        let code = match ink {
            Ink::Plain => "",
            Ink::Strong => "\x1b[1m",
            Ink::Faint => "\x1b[2m",
            Ink::Good => "\x1b[32m",
            Ink::Doubtful => "\x1b[33m",
            Ink::Bad => "\x1b[31m",
        };
        // Writing to a string does not fail.
        let _ = match is_coloured && !code.is_empty() {
            true => write!(told, "{code}{text}\x1b[0m"),
            false => write!(told, "{text}"),
        };
        told
    })
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Tells of each key that means to quit. The thread that reads them ends with the process.
pub(super) fn quits() -> mpsc::Receiver<()> {
    let (quit, quits) = mpsc::channel(1);
    std::thread::spawn(move || {
        for key in io::stdin().lock().bytes() {
            match key {
                Ok(b'q' | b'Q' | CTRL_C) => {
                    // Nobody listens any more only when it is over already.
                    let _ = quit.blocking_send(());
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    quits
}
