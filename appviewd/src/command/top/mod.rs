//! `top`: a daemon as it runs, looked at from outside.
//!
//! What a daemon tells over HTTP enters; a screen that is drawn anew leaves, or one look as text. Deliberately absent: anything
//! that the daemon does not tell everybody who may ask it.

mod history;
mod look;
mod screen;
mod terminal;

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Result, bail};
use appview_core::source::now;
use appview_core::source::wire::{Outside, Reach};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Top;
use history::History;
use look::Daemon;
use screen::{Size, drawn};
use terminal::{Terminal, quits, written};

/// Watches a daemon until somebody has seen enough, or looks at it once.
///
/// # Errors
///
/// It does not answer at all, where it is looked at once; or the terminal is gone.
pub fn run(top: &Top) -> Result<()> {
    let outside = Outside::internet(Reach::Public)?;
    let daemon = Daemon { url: top.url(), metrics_url: top.metrics_url(), outside };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = if top.once || !std::io::stdout().is_terminal() {
        runtime.block_on(once(&daemon))
    } else {
        runtime.block_on(watch(&daemon, top))
    };
    // A look that is under way is not waited for.
    runtime.shutdown_background();
    ended
}

/// Writes one look as text.
async fn once(daemon: &Daemon) -> Result<()> {
    let mut history = History::default();
    history.see(daemon.look().await);
    if let Some((_, why)) = history.gone() {
        bail!("{why}; start a daemon with `appviewd serve`, or say where it is with --url");
    }
    let is_coloured = crate::telemetry::is_coloured(&std::io::stdout());
    let mut told = String::new();
    for line in drawn(&history, &daemon.url, Size::TEXT, now()) {
        told += written(&line, is_coloured).trim_end();
        told.push('\n');
    }
    std::io::stdout().write_all(told.as_bytes())?;
    Ok(())
}

/// Draws until a key or a signal ends it.
async fn watch(daemon: &Daemon, top: &Top) -> Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut ticks = interval(top.every);
    // After a look that took long, or a machine that slept, the next one is as far away as ever.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (seen, mut looks) = mpsc::channel(1);
    let asked = daemon.clone();
    tokio::spawn(async move {
        loop {
            ticks.tick().await;
            // Nobody wants another look only when it is over.
            if seen.send(asked.look().await).await.is_err() {
                return;
            }
        }
    });
    let terminal = Terminal::take()?;
    let (mut quits, mut history) = (quits(), History::default());
    loop {
        terminal.draw(&drawn(&history, &daemon.url, Terminal::size(), now()))?;
        tokio::select! {
            Some(look) = looks.recv() => history.see(look),
            Some(()) = resized.recv() => {}
            Some(()) = quits.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        }
    }
}
