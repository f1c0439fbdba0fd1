//! How far long work has come, for whoever waits: one moving line on a terminal, plain lines elsewhere.
//!
//! Counts enter; lines on standard error leave, at most one a second, one in ten seconds where they stay. Deliberately
//! absent: results, which belong on standard output.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Progress of one piece of work.
#[derive(Debug)]
pub struct Progress {
    verb: &'static str,
    unit: &'static str,
    total: Option<u64>,
    started: Instant,
    shown: Instant,
    is_terminal: bool,
}

impl Progress {
    /// Starts work like "replaying … frames", of `total` units if that is known.
    #[must_use]
    pub fn start(verb: &'static str, unit: &'static str, total: Option<u64>) -> Self {
        let now = Instant::now();
        Self { verb, unit, total, started: now, shown: now, is_terminal: std::io::stderr().is_terminal() }
    }

    /// Tells how much is done, with a few words more.
    pub fn tell(&mut self, done: u64, more: impl FnOnce() -> String) {
        let pace = Duration::from_millis(if self.is_terminal { 200 } else { 10_000 });
        if self.shown.elapsed() >= pace {
            self.shown = Instant::now();
            self.write(done, &more());
        }
    }

    /// Writes the last line, and how long it took.
    pub fn finish(mut self, done: u64, more: &str) {
        self.total = None;
        if self.is_terminal || self.started.elapsed() >= Duration::from_secs(1) {
            self.write(done, more);
            if self.is_terminal {
                eprintln!();
            }
        }
    }

    fn write(&self, done: u64, more: &str) {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = done as f64 / seconds;
        let of = match self.total {
            Some(total) if total > 0 => format!(" of {total} ({} %)", done.saturating_mul(100) / total),
            _ => String::new(),
        };
        let line = format!("{} {done}{of} {}, {rate:.0}/s, {seconds:.1} s{more}", self.verb, self.unit);
        // Nobody is left to tell when standard error is gone.
        let _ = if self.is_terminal {
            write!(std::io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(std::io::stderr(), "{line}")
        };
    }
}
